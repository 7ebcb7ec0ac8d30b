#!/usr/bin/env python3
"""Runs QEMU's own migration tests four times: without the patch series, with it, and with observe and skip forced.

- With the patch series and the mode off, the results must equal those without it.
- With a mode forced on every source, a test passes if the mode allows what it uses. Otherwise it fails, by the refusal
  that names the conflict.
- Without an unpatched QEMU to compare with, the tests run once, with no mode forced, and none may fail. These are the
  quick tests, with those of the patch series, or with --full all tests.

Skipped tests are reported by name, and so are named tests that the program does not have. A test that passes under no
arm shows nothing: that is an error, unless tests/qemu/skips.txt has a reason for it.

Each test runs in a process of its own, several at a time: most of the time they wait for a link that they made slow.
Results are stored as they come, so that an interrupted run can be continued. qemu-patches/check.sh builds what this
needs, reserves huge pages, and hides /dev/kvm:

    tests/qemu/suite.py --tests BUILD/tests/qtest/migration-test --series QEMU --unpatched QEMU --only NAMES \
        --skips tests/qemu/skips.txt --results FILE
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from migration_tests import ARMS, FAILED, NEEDS_GUEST, OFF, PASSED, REFUSED, SKIPPED, Arm, MigrationTests
from suite_results import (
    Results,
    differences,
    failures,
    only_skipped,
    result_row,
    skip_reasons,
    stored_results,
)

NOT_LISTED = "the program does not have it here"


def run(
    tests: MigrationTests, arms: Sequence[Arm], path: Path, workers: int, report: Callable[[str], object]
) -> Results:
    """Run every test under these arms, unless its result is stored.

    Some tests skip themselves if the host is too slow: these run again at the end, one after the other.

    Args:
        tests: to run.
        arms: under which they are run.
        path: the file that results are read from and added to.
        workers: tests at a time.
        report: is called with a line for each result.

    Returns:
        All results. Named tests that the program does not have are skipped.
    """
    results = stored_results(path)
    listed = tests.names()
    below = {test: [other for other in listed if other.startswith(f"{test}/")] for test in listed}
    chosen = [test for test in listed if tests.only is None or test in tests.only]
    missing = [(arm, test) for test in chosen for arm in arms if (arm.name, test) not in results]
    unlisted = (tests.only or frozenset()).difference(listed)
    results.update({(arm.name, test): (SKIPPED, NOT_LISTED) for arm in arms for test in unlisted})
    with path.open("a") as file, ThreadPoolExecutor(workers) as pool:

        def store(prefix: str, arm: Arm, test: str, result: str, why: str) -> None:
            results[arm.name, test] = result, why
            file.write(result_row(arm.name, test, result, why))
            file.flush()
            report(f"{prefix} {arm.name:9} {result:8} {test} {why if result == REFUSED else ''}")

        pending = {pool.submit(tests.result, arm, test, below[test]): (arm, test) for arm, test in missing}
        for number, (future, (arm, test)) in enumerate(pending.items(), 1):
            store(f"{number}/{len(pending)}", arm, test, *future.result())
        for arm, test in missing:
            if results[arm.name, test][0] == SKIPPED and results[arm.name, test][1] != NEEDS_GUEST:
                store("alone", arm, test, *tests.result(arm, test, below[test]))
    return results


def main() -> int:
    """Run the tests, print a table, and print what is wrong; returns the exit status."""
    arguments = _arguments()
    os.nice(19)  # a guest that waits for its link keeps a core busy, which a build beside it can use
    unpatched = arguments.unpatched.resolve() if arguments.unpatched else None
    arms = [arm for arm in ARMS if arm.name in arguments.arms] if unpatched else [OFF]
    with tempfile.TemporaryDirectory(prefix="suite-") as scratch:
        only = frozenset(arguments.only.read_text().split()) if arguments.only else None
        program, series = arguments.tests.resolve(), arguments.series.resolve()
        full = arguments.full or unpatched is not None
        tests = MigrationTests(program, series, unpatched, Path(scratch), only, arguments.idle, full)
        results = run(tests, arms, arguments.results, arguments.workers, lambda line: print(line, flush=True))
    _print_table(results, arms)
    wrong = list(differences(results)) if unpatched else list(failures(results))
    reasons = skip_reasons(arguments.skips.read_text()) if arguments.skips else {}
    for test, why in sorted(only_skipped(results).items()):
        reason = why if why == NEEDS_GUEST else reasons.get(test)
        print(f"skipped: {test}: {why}{f' ({reason})' if reason else ''}")
        if not reason:
            wrong.append(f"{test}: skipped, without a reason in the file of skips: {why}")
    print("\n".join(wrong) if wrong else "as it must be")
    if wrong:
        print(f"a test whose line is removed from {arguments.results} runs again the next time")
    return 1 if wrong else 0


def _print_table(results: Results, arms: Sequence[Arm]) -> None:
    endings = (PASSED, SKIPPED, REFUSED, FAILED)
    print(f"{'':10}" + "".join(f"{ending:>9}" for ending in endings))
    for arm in arms:
        counts = [sum(key[0] == arm.name and value[0] == end for key, value in results.items()) for end in endings]
        print(f"{arm.name:10}" + "".join(f"{count:9}" for count in counts))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tests", type=Path, required=True, help="migration-test of a build with the patch series")
    parser.add_argument("--series", type=Path, required=True, help="a QEMU with the patch series")
    parser.add_argument("--unpatched", type=Path, help="one without it; default: none, and the tests run once")
    parser.add_argument("--full", action="store_true", help="all tests, not the quick ones alone, as with --unpatched")
    parser.add_argument("--only", type=Path, help="a file with the names of the tests to run; default: all")
    parser.add_argument("--idle", action="store_true", help="leave out tests whose guest runs under TCG")
    parser.add_argument("--skips", type=Path, help="a file of the tests that may be skipped, each with its reason")
    parser.add_argument("--results", type=Path, required=True, help="the file that results are added to, as JSON lines")
    names = [arm.name for arm in ARMS]
    parser.add_argument("--arms", nargs="+", choices=names, default=names, help="which of them (default: all four)")
    workers = 8 * (os.cpu_count() or 1)
    parser.add_argument("--workers", type=int, default=workers, help="tests at a time (default: eight per core)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
