"""QEMU's own migration tests: the program that has them, run under one of four arms."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import threading
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from fakedirty.lab.qemu import firmware_arguments

PASSED, SKIPPED, FAILED, REFUSED = "passed", "skipped", "failed", "refused"
REFUSAL = re.compile(r"fake-dirty-mode '(?:observe|skip)' is not compatible with \S+ '?([\w-]+)'?")
NEEDS_GUEST = "a guest is to run"
TEST_SECONDS = 600.0
MOST_OUTPUT = 1_000_000  # bytes of a test's output that are kept: a failed test may print without an end
HUGE_PAGES = threading.Lock()  # a test reads how many huge pages are free, and takes them
FULL = ("--full", "-m", "slow")  # QEMU's --full leaves out the tests that GLib calls slow


@dataclass(frozen=True, slots=True)
class Arm:
    """A way to run the tests: with or without the patch series, and with a mode forced on every source."""

    name: str
    series: bool
    mode: str | None = None


OFF = Arm("off", series=True)
ARMS = (
    Arm("unpatched", series=False),
    OFF,
    Arm("observe", series=True, mode="observe"),
    Arm("skip", series=True, mode="skip"),
)


@dataclass(frozen=True, slots=True)
class ProgramEnd:
    """The exit status of the test program, and the last output of it and its QEMUs."""

    status: int
    output: str


@dataclass(frozen=True, slots=True)
class MigrationTests:
    """The test program, and all that it needs.

    The tests of the patch series can only run under the arm `off`: they set modes themselves, and an unpatched QEMU
    lacks what they test.

    Attributes:
        program: ``migration-test`` of a build.
        series: a QEMU with the patch series.
        unpatched: a QEMU without it, if there is one.
        scratch: a directory for wrappers and temporary files.
        only: the names of the tests to run; None: all.
        idle: whether tests whose guest runs under TCG are left out.
        full: whether all tests are listed, and not the quick ones alone.
    """

    program: Path
    series: Path
    unpatched: Path | None
    scratch: Path
    only: frozenset[str] | None
    idle: bool = False
    full: bool = False

    def __post_init__(self) -> None:
        """Write all wrappers now: tests run side by side, and none may find an incomplete one."""
        for series, mode in {(arm.series, mode) for arm in ARMS for mode in (None, arm.mode)}:
            qemu = self.series if series or self.unpatched is None else self.unpatched
            forced = ["-global", f"migration.fake-dirty-mode={mode}"] if mode else []
            left_out = f'case "$*" in *"-accel tcg"*) echo {NEEDS_GUEST!r}; kill $PPID; exit 1;; esac\n'
            command = shlex.join([str(qemu), *firmware_arguments(), *forced])
            wrapper = self._wrapper(series, mode)
            wrapper.parent.mkdir(exist_ok=True)
            wrapper.write_text(f'#!/bin/sh\n{left_out if self.idle else ""}exec {command} "$@"\n')
            wrapper.chmod(0o755)

    def names(self) -> list[str]:
        """List the tests of the program, the last ones first: these are of the patch series, and take longest."""
        output = self._run(OFF, "-l").output
        tests = [line for line in output.splitlines() if line.startswith("/")]
        if not tests:
            raise SystemExit(f"{self.program} lists no test:\n{output[-2000:]}")
        return tests[::-1]

    def result(self, arm: Arm, test: str, below: list[str]) -> tuple[str, str]:
        """Run one test under one arm.

        Args:
            arm: the QEMUs and the mode.
            test: the path of the test.
            below: the tests whose paths begin with that path, which are left out.

        Returns:
            The result, and the reason for it.
        """
        alone = HUGE_PAGES if "hugetlb" in test else nullcontext()
        try:
            with alone:
                end = self._run(arm, "-p", test, *(word for other in below for word in ("-s", other)))
        except subprocess.TimeoutExpired:
            return FAILED, f"no end after {TEST_SECONDS:.0f} s"
        if NEEDS_GUEST in end.output:
            return SKIPPED, NEEDS_GUEST
        if end.status == 0:
            skip = re.search(rf"^ok \d+ {re.escape(test)} # SKIP *(.*)$", end.output, re.MULTILINE)
            return (SKIPPED, skip[1]) if skip else (PASSED, "")
        if refusal := REFUSAL.search(end.output):
            return REFUSED, refusal[1]
        return FAILED, end.output[-2000:]

    def _run(self, arm: Arm, *arguments: str) -> ProgramEnd:
        """Run the test program; TimeoutExpired if it does not end: it is killed then."""
        plain, source = self._wrapper(arm.series, None), self._wrapper(arm.series, arm.mode)
        environment = {
            **os.environ,
            "QTEST_QEMU_BINARY": str(plain),
            "TMPDIR": str(self.scratch),
            "PYTHON": sys.executable,  # for the test of scripts/analyze-migration.py
        }
        if arm.mode:
            environment["QTEST_QEMU_BINARY_SRC"] = str(source)
        command = [str(self.program), *(FULL if self.full else []), *arguments]
        # QEMU dies with the test that started it, so the pipe ends with the test
        with (
            subprocess.Popen(
                command,
                cwd=self.program.parents[2],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            ) as test,
            subprocess.Popen(["tail", "-c", str(MOST_OUTPUT)], stdin=test.stdout, stdout=subprocess.PIPE) as last,
        ):
            assert test.stdout
            test.stdout.close()
            try:
                status = test.wait(TEST_SECONDS)
            except BaseException:
                test.kill()
                raise
            output, _ = last.communicate()
        return ProgramEnd(status, output.decode(errors="replace"))

    def _wrapper(self, series: bool, mode: str | None) -> Path:
        """The path of a script that starts QEMU with Debian's firmware, and with a mode if one is given.

        The tests read the architecture from the name of the program.
        """
        return self.scratch / f"{'series' if series else 'unpatched'}-{mode}" / "qemu-system-x86_64"
