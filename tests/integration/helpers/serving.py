"""The service as a process beside a test, and commands that ask it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from migrating import PATIENCE_SECONDS, wait


def fakedirty(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "fakedirty.cli.main", *arguments]


def said(*arguments: str, environment: Mapping[str, str] = os.environ) -> subprocess.CompletedProcess[str]:
    """What a command comes to."""
    return subprocess.run(
        fakedirty(*arguments),
        check=False,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        env=environment,
    )


@dataclass
class Service:
    """It records into `out`, answers at `control`, and all that it says on standard error is in `lines`."""

    directory: Path
    process: subprocess.Popen[str]
    environment: Mapping[str, str]
    lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._listening = threading.Thread(target=self._listen)
        self._listening.start()

    def _listen(self) -> None:
        assert self.process.stderr
        with self.process.stderr as stream:
            self.lines.extend(stream)

    @property
    def out(self) -> Path:
        return self.directory / "out"

    @property
    def control(self) -> Path:
        return self.directory / "control"

    @property
    def log(self) -> str:
        return "".join(self.lines)

    @property
    def metrics(self) -> str:
        """Where they are."""
        found = re.search(r"^metrics: (\S+)", self.log, re.MULTILINE)
        assert found, self.log
        return found[1]

    def said(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """What a command that asks it comes to."""
        return said(*arguments, "--control", str(self.control), environment=self.environment)

    def status(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.said("status", "--json").stdout)
        return told

    def wait_for(self, *pids: int) -> None:
        """Until these QEMUs are observed."""
        wait(lambda: set(pids) <= {int(pid) for pid in re.findall(r"^attached: .* pid (\d+) at level", self.log, re.M)})

    def wait_for_recordings(self, vm: str, count: int = 1) -> list[Path]:
        """Until so many migrations of a VM are over, and recorded."""
        wait(lambda: len(list(self.out.glob(f"{vm}/*/migration.json"))) >= count)
        return sorted(path.parent for path in self.out.glob(f"{vm}/*/migration.json"))

    def stop(self) -> int:
        """End it as its manager would; its exit status."""
        self.process.terminate()
        self.process.wait(timeout=PATIENCE_SECONDS)
        self._listening.join()
        return self.process.returncode

    def kill(self) -> None:
        """End it as no manager should."""
        self.process.kill()
        self.process.wait()
        self._listening.join()


@contextmanager
def service(
    directory: Path, *arguments: str, environment: Mapping[str, str] = os.environ, before: Sequence[str] = ()
) -> Iterator[Service]:
    """The service, once it answers; killed at the end if it still runs. `before`: a command that runs it."""
    own = ("--control", str(directory / "control"), "--out", str(directory / "out"))
    command = [*before, *fakedirty("observe", "--all", *own, *arguments)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment)
    it = Service(directory, process, environment)
    try:
        wait(lambda: "metrics: " in it.log or "--listen" not in arguments or process.poll() is not None)
        wait(lambda: _answers(it) or process.poll() is not None)
        yield it
    finally:
        it.kill()


def _answers(it: Service) -> bool:
    """A socket that a killed one left behind is there, too."""
    return it.control.exists() and it.said("status").returncode == 0
