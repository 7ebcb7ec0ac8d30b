"""A copy of the tree in which one mutation at a time is tried."""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mutator import Mutation

HERE = Path(__file__).parent
# exit statuses of pytest
PASSED, FAILED, WRONG_USAGE, NO_TESTS = 0, 1, 4, 5
WAITING = 10  # times its limit of CPU time: who is not done by then waits for what does not come
OPTIONS = ("-q", "-x", "--no-header", "--tb=no", "-p", "no:cacheprovider", "--hypothesis-seed=0")


class WorkplaceError(Exception):
    """Tests did not run as they should, whatever the mutation."""


class Workplace:
    """One copy of the tree. `stop` ends the tests that run in it."""

    def __init__(self, root: Path, directory: Path) -> None:
        self.directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False
        shutil.rmtree(directory, ignore_errors=True)
        command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        names = subprocess.run(command, cwd=root, capture_output=True, check=True).stdout.split(b"\0")
        for name in (os.fsdecode(each) for each in names if each):
            if os.path.lexists(root / name):
                (directory / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(root / name, directory / name, follow_symlinks=False)

    def passes(self, tests: Sequence[str], cpu_seconds: float) -> bool:
        """Whether tests, by their ids or paths, pass; not if they take more than `cpu_seconds`, or wait for ever."""
        status = self._run(tests, cpu_seconds)
        if status == WRONG_USAGE:  # the ids of parametrized tests are other ones now
            status = self._run(sorted({test.partition("::")[0] for test in tests}), cpu_seconds * 2)
        if status == NO_TESTS:
            raise WorkplaceError(f"no test was run of {', '.join(tests[:3])} …")
        return status == PASSED

    def _run(self, tests: Sequence[str], cpu_seconds: float) -> int:
        chosen = self.directory / "chosen-tests"
        chosen.write_text("\n".join(tests))
        return self._wait([*OPTIONS, f"@{chosen}"], {"PYTHONDONTWRITEBYTECODE": "1"}, cpu_seconds)

    def measure(self, tests: Sequence[str], output: Path) -> None:
        """Run tests under coverage; what failed is in the output too. Leaves compiled modules for later runs."""
        variables = {"FAKEDIRTY_COVERAGE": str(output)}
        options = [each for each in OPTIONS if each != "-x"]
        self._wait([*options, "-p", "coverage_plugin", *tests], variables, None)
        if not output.is_file():
            raise WorkplaceError(f"the unit tests did not run to their end; try them in {self.directory}")

    def _wait(self, options: Sequence[str], variables: dict[str, str], cpu_seconds: float | None) -> int:
        path = [str(self.directory / "collector"), str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(path)} | variables
        log = self.directory / "pytest.log"
        with log.open("wb") as output:
            # a limit of CPU time, because a busy machine may run the tests slowly
            limit = () if cpu_seconds is None else ("prlimit", f"--cpu={math.ceil(cpu_seconds)}")
            command = [*limit, sys.executable, "-m", "pytest", *options]
            self._process = process = subprocess.Popen(
                command, cwd=self.directory, env=environment, stdout=output, stderr=output, start_new_session=True
            )
            if self._stopped:
                self._end(process)
            try:
                return process.wait(None if cpu_seconds is None else cpu_seconds * WAITING)
            except subprocess.TimeoutExpired:
                self._end(process)
                return FAILED

    def stop(self) -> None:
        """End the tests that run, and those that would."""
        self._stopped = True
        if self._process is not None:
            self._end(self._process)

    @staticmethod
    def _end(process: subprocess.Popen[bytes]) -> None:
        with contextlib.suppress(ProcessLookupError):  # it has ended
            os.killpg(process.pid, signal.SIGKILL)  # with whatever the tests have started
        process.wait()

    @contextmanager
    def mutated(self, mutation: Mutation) -> Iterator[None]:
        """The copy has a mutation for as long as the context lasts.

        Compiled modules are valid by the time of their source: the mutated one has another, and the old one comes back.
        """
        file = self.directory / mutation.path
        content, status = file.read_bytes(), file.stat()
        file.write_bytes(mutation.apply(content))
        os.utime(file, (time.time(), status.st_mtime + 10))
        try:
            yield
        finally:
            file.write_bytes(content)
            os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
