#!/usr/bin/env python3
"""QEMU's own migration tests, four times: without the series, with it, and with observe and skip forced.

A QEMU with the series and the mode off must give the results of one without it. With a mode forced on every
source, a test passes where the mode is allowed, and fails by the refusal that names the conflict where it is not.
Without a QEMU to compare with, tests run once, with no mode forced, and none may fail: the quick ones, those of the
series included, or with --full all that there are.

Each test that is skipped is reported by its name, and so is one that was asked for and that the program does not have.
A test that passes under no arm shows nothing: that is an error, unless tests/qemu/skips.txt has the reason.

Each test runs in a process of its own, several at a time: most of their time they wait for a link that they made
slow. Results are kept in a file as they come, so that a run that was interrupted goes on where it was.
qemu-patches/check.sh builds what this needs, reserves huge pages, and hides /dev/kvm from it:

    tests/qemu/suite.py --tests BUILD/tests/qtest/migration-test --series QEMU --unpatched QEMU --only NAMES \
        --skips tests/qemu/skips.txt --results FILE
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from fakedirty.lab.qemu import firmware_arguments

REFUSAL = re.compile(r"fake-dirty-mode '(?:observe|skip)' is not compatible with \S+ '?([\w-]+)'?")
TEST_SECONDS = 600.0
MOST_OUTPUT = 1_000_000  # bytes that are kept of a test's: one that fails may say the same for ever
HUGE_PAGES = threading.Lock()  # a test looks how many the host has free, and takes them
FULL = ("--full", "-m", "slow")  # QEMU's own word for all of its tests leaves those out that GLib's calls slow
NEEDS_GUEST = "a guest is to run"
NOT_LISTED = "the program does not have it here"
PASSED, SKIPPED, FAILED, REFUSED = "passed", "skipped", "failed", "refused"


@dataclass(frozen=True, slots=True)
class Arm:
    """One of the four ways to run the suite: a QEMU, and what every source is forced to."""

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
class Done:
    """How a test ended: its exit status, and the last that it and its QEMU said."""

    status: int
    output: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where things are: the test program, both QEMU, and a directory for wrappers and temporary files.

    `only` are the tests to be run. Those of the series are for no arm but `off`: they set modes as they like, and what
    they test an unpatched QEMU cannot do. `full`: not the quick tests alone.
    """

    tests: Path
    series: Path
    unpatched: Path | None
    scratch: Path
    only: frozenset[str] | None
    idle: bool = False
    full: bool = False

    def __post_init__(self) -> None:
        """Make what the tests start, at once: they run side by side, and none may find a wrapper half made."""
        for series, mode in {(arm.series, mode) for arm in ARMS for mode in (None, arm.mode)}:
            qemu = self.series if series or self.unpatched is None else self.unpatched
            forced = ["-global", f"migration.fake-dirty-mode={mode}"] if mode else []
            left_out = f'case "$*" in *"-accel tcg"*) echo {NEEDS_GUEST!r}; kill $PPID; exit 1;; esac\n'
            command = shlex.join([str(qemu), *firmware_arguments(), *forced])
            wrapper = self._wrapper(series, mode)
            wrapper.parent.mkdir(exist_ok=True)
            wrapper.write_text(f'#!/bin/sh\n{left_out if self.idle else ""}exec {command} "$@"\n')
            wrapper.chmod(0o755)

    def listed(self) -> list[str]:
        """All tests of the program: the quick ones, or the full set."""
        said = self._run(OFF, "-l").output
        tests = [line for line in said.splitlines() if line.startswith("/")]
        if not tests:
            raise SystemExit(f"{self.tests} lists no test:\n{said[-2000:]}")
        # the last ones first: those of the series are among them, and the longest
        return tests[::-1]

    def result(self, arm: Arm, test: str, below: list[str]) -> tuple[str, str]:
        """How one test ends under one arm, and why; the tests `below` its path are others."""
        alone = HUGE_PAGES if "hugetlb" in test else nullcontext()
        try:
            with alone:
                done = self._run(arm, "-p", test, *(word for other in below for word in ("-s", other)))
        except subprocess.TimeoutExpired:
            return FAILED, f"no end after {TEST_SECONDS:.0f} s"
        said = done.output
        if NEEDS_GUEST in said:
            return SKIPPED, NEEDS_GUEST
        if done.status == 0:
            skip = re.search(rf"^ok \d+ {re.escape(test)} # SKIP *(.*)$", said, re.MULTILINE)
            return (SKIPPED, skip[1]) if skip else (PASSED, "")
        if refusal := REFUSAL.search(said):
            return REFUSED, refusal[1]
        return FAILED, said[-2000:]

    def _run(self, arm: Arm, *arguments: str) -> Done:
        """Run the test program; TimeoutExpired, and nothing of it left, if it does not end."""
        plain, source = self._wrapper(arm.series, None), self._wrapper(arm.series, arm.mode)
        environment = {
            **os.environ,
            "QTEST_QEMU_BINARY": str(plain),
            "TMPDIR": str(self.scratch),
            "PYTHON": sys.executable,  # for the test of scripts/analyze-migration.py
        }
        if arm.mode:
            environment["QTEST_QEMU_BINARY_SRC"] = str(source)
        command = [str(self.tests), *(FULL if self.full else []), *arguments]
        # QEMU dies with the test that started it, so that the pipe ends with it
        with (
            subprocess.Popen(
                command,
                cwd=self.tests.parents[2],
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
        return Done(status, output.decode(errors="replace"))

    def _wrapper(self, series: bool, mode: str | None) -> Path:
        """Where a QEMU is that finds Debian's firmware, and has the mode on from its start if one is given.

        The tests know the architecture by the name of the program.
        """
        return self.scratch / f"{'series' if series else 'unpatched'}-{mode}" / "qemu-system-x86_64"


def kept(path: Path) -> dict[tuple[str, str], tuple[str, str]]:
    """Results of a run that was interrupted. What was skipped then, for want of memory or of time, may run now."""
    lines = path.read_text().splitlines() if path.exists() else []
    rows = [json.loads(line) for line in lines]
    return {(row["arm"], row["test"]): (row["result"], row["why"]) for row in rows if row["result"] != SKIPPED}


def run(
    place: Place, arms: list[Arm], path: Path, workers: int, say: Callable[[str], object]
) -> dict[tuple[str, str], tuple[str, str]]:
    """Every test under these arms, those that are kept excepted; those that are asked for and not there are skipped.

    Some skip themselves where the machine is too slow: these run once more, with no other beside them.
    """
    results = kept(path)
    listed = place.listed()
    below = {test: [other for other in listed if other.startswith(f"{test}/")] for test in listed}
    chosen = [test for test in listed if place.only is None or test in place.only]
    wanted = [(arm, test) for test in chosen for arm in arms if (arm.name, test) not in results]
    absent = (place.only or frozenset()).difference(listed)
    results.update({(arm.name, test): (SKIPPED, NOT_LISTED) for arm in arms for test in absent})
    with path.open("a") as file, ThreadPoolExecutor(workers) as pool:

        def keep(ending: str, arm: Arm, test: str, result: str, why: str) -> None:
            results[arm.name, test] = result, why
            file.write(json.dumps({"arm": arm.name, "test": test, "result": result, "why": why}) + "\n")
            file.flush()
            say(f"{ending} {arm.name:9} {result:8} {test} {why if result == REFUSED else ''}")

        pending = {pool.submit(place.result, arm, test, below[test]): (arm, test) for arm, test in wanted}
        for number, (future, (arm, test)) in enumerate(pending.items(), 1):
            keep(f"{number}/{len(pending)}", arm, test, *future.result())
        for arm, test in wanted:
            if results[arm.name, test][0] == SKIPPED and results[arm.name, test][1] != NEEDS_GUEST:
                keep("alone", arm, test, *place.result(arm, test, below[test]))
    return results


def wrong(results: Mapping[tuple[str, str], tuple[str, str]]) -> Iterator[str]:
    """What is not as it must be. That a mode is refused is right where the capability is one of the test."""
    for (arm, test), (result, why) in sorted(results.items()):
        plain, plain_why = results.get(("unpatched", test), ("missing", ""))
        if arm == "unpatched":
            continue
        if arm == "off" and result != plain:
            yield f"{test}: {result} with the mode off, {plain} without the series: {why or plain_why}"
        elif arm != "off" and result not in (plain, REFUSED):
            yield f"{test}: {result} with {arm} forced, {plain} without the series: {why or plain_why}"


def failed(results: Mapping[tuple[str, str], tuple[str, str]]) -> Iterator[str]:
    """What failed, with nothing to compare it with."""
    for (_, test), (result, why) in sorted(results.items()):
        if result not in (PASSED, SKIPPED):
            yield f"{test}: {result}: {why}"


def skipped(results: Mapping[tuple[str, str], tuple[str, str]]) -> dict[str, str]:
    """The tests that were skipped and passed under no arm, each with what was said: of these nothing is known."""
    shown = {test for (_, test), (result, _) in results.items() if result in (PASSED, FAILED)}
    return {
        test: why
        for (_, test), (result, why) in sorted(results.items(), reverse=True)
        if result == SKIPPED and test not in shown
    }


def reasons(text: str) -> dict[str, str]:
    """Of a file of lines `test  reason`, `#` begins a comment: the reason for which each may be skipped."""
    rows = [line.split(maxsplit=1) for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return {row[0]: row[1] for row in rows}


def main() -> int:
    """Run, print a table, and say whether all is right."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tests", type=Path, required=True, help="migration-test of a build of the series")
    parser.add_argument("--series", type=Path, required=True, help="a QEMU with the series")
    parser.add_argument("--unpatched", type=Path, help="one without it; if there is none, the tests run once")
    parser.add_argument("--full", action="store_true", help="not the quick ones alone, as with --unpatched")
    parser.add_argument("--only", type=Path, help="a file with the names of the tests to run; default: all")
    parser.add_argument("--idle", action="store_true", help="leave out tests whose guest runs, under TCG")
    parser.add_argument("--skips", type=Path, help="a file of the tests that may be skipped, each with its reason")
    parser.add_argument("--results", type=Path, required=True, help="file that results are added to, as JSON lines")
    names = [arm.name for arm in ARMS]
    parser.add_argument("--arms", nargs="+", choices=names, default=names, help="which of them (default: all four)")
    workers = 8 * (os.cpu_count() or 1)
    parser.add_argument("--workers", type=int, default=workers, help="tests at a time (default: eight per core)")
    arguments = parser.parse_args()
    os.nice(19)  # a guest that waits for its link keeps a core busy, which a build beside it may have
    unpatched = arguments.unpatched.resolve() if arguments.unpatched else None
    arms = [arm for arm in ARMS if arm.name in arguments.arms] if unpatched else [OFF]
    with tempfile.TemporaryDirectory(prefix="suite-") as scratch:
        only = frozenset(arguments.only.read_text().split()) if arguments.only else None
        tests, series = arguments.tests.resolve(), arguments.series.resolve()
        full = arguments.full or unpatched is not None
        place = Place(tests, series, unpatched, Path(scratch), only, arguments.idle, full)
        results = run(place, arms, arguments.results, arguments.workers, lambda line: print(line, flush=True))
    endings = (PASSED, SKIPPED, REFUSED, FAILED)
    print(f"{'':10}" + "".join(f"{ending:>9}" for ending in endings))
    for arm in arms:
        counts = [sum(key[0] == arm.name and value[0] == end for key, value in results.items()) for end in endings]
        print(f"{arm.name:10}" + "".join(f"{count:9}" for count in counts))
    found = list(wrong(results)) if unpatched else list(failed(results))
    may_skip = reasons(arguments.skips.read_text()) if arguments.skips else {}
    for test, why in sorted(skipped(results).items()):
        reason = why if why == NEEDS_GUEST else may_skip.get(test)
        print(f"skipped: {test}: {why}{f' ({reason})' if reason else ''}")
        if not reason:
            found.append(f"{test}: skipped, and nothing says that it may be: {why}")
    print("\n".join(found) if found else "as it must be")
    if found:
        print(f"a test whose line is taken out of {arguments.results} runs again the next time")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
