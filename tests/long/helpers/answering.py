"""How long QMP lets a client wait: the same few commands again and again, each answer timed."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

# what operators and libvirt ask while a migration runs; setting what is set already goes through all checks
COMMANDS: tuple[tuple[str, dict[str, object]], ...] = (
    ("query-status", {}),
    ("query-migrate", {}),
    ("migrate-set-parameters", {"fake-dirty-switchover": False}),
)
PAUSE_SECONDS = 0.002  # leaves QEMU's main loop time for what it does of its own accord
SLOW_SECONDS = 0.05  # worth being told of
PATIENCE_SECONDS = 120.0


@dataclass
class Answers:
    """Seconds that each answer took, by command."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name, _ in COMMANDS})
    slow: list[tuple[float, float, str]] = field(default_factory=list)  # when asked (monotonic), how long, what

    def note(self, command: str, start: float) -> None:
        """An answer has come just now."""
        took = time.monotonic() - start
        self.seconds[command].append(took)
        if took > SLOW_SECONDS:
            self.slow.append((start, took, command))

    @property
    def asked(self) -> int:
        """How often each command was answered, at least."""
        return min(len(each) for each in self.seconds.values())

    @property
    def longest(self) -> float:
        """The longest of all, in seconds."""
        return max(max(each) for each in self.seconds.values())

    def __str__(self) -> str:
        return ", ".join(
            f"{name} {max(each) * 1000:.0f} ms (of {len(each):,})" for name, each in self.seconds.items() if each
        )


@contextmanager
def asking(path: Path) -> Iterator[Answers]:
    """Ask at the QMP socket `path`, from a thread of its own, until the block is left."""
    answers, stop = Answers(), threading.Event()
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(PATIENCE_SECONDS)
        link.connect(str(path))
        with link.makefile("rw") as stream:
            stream.readline()  # the greeting
            _ask(stream, "qmp_capabilities", {})

            def ask() -> None:
                while not stop.wait(PAUSE_SECONDS):
                    for command, arguments in COMMANDS:
                        start = time.monotonic()
                        _ask(stream, command, arguments)
                        answers.note(command, start)

            thread = threading.Thread(target=ask, name="asking")
            thread.start()
            try:
                yield answers
            finally:
                stop.set()
                thread.join()


def _ask(stream: TextIO, command: str, arguments: dict[str, object]) -> None:
    """Send a command and wait for its answer; events in between are passed over."""
    stream.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
    stream.flush()
    while True:
        answer: dict[str, Any] = json.loads(stream.readline())
        assert "error" not in answer, f"{command}: {answer}"
        if "return" in answer:
            return
