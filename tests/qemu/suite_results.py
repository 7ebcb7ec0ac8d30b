"""The results of QEMU's own migration tests: stored as they come, and checked."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from migration_tests import FAILED, PASSED, REFUSED, SKIPPED

Results = Mapping[tuple[str, str], tuple[str, str]]  # result and reason, by arm and test


def stored_results(path: Path) -> dict[tuple[str, str], tuple[str, str]]:
    """The results of an interrupted run, without skipped tests: with more memory or time they may run now."""
    lines = path.read_text().splitlines() if path.exists() else []
    rows = [json.loads(line) for line in lines]
    return {(row["arm"], row["test"]): (row["result"], row["why"]) for row in rows if row["result"] != SKIPPED}


def result_row(arm: str, test: str, result: str, why: str) -> str:
    """A line of the file of results."""
    return json.dumps({"arm": arm, "test": test, "result": result, "why": why}) + "\n"


def differences(results: Results) -> Iterator[str]:
    """The tests whose result differs from that without the patch series.

    With a mode forced, a refusal is right if the mode excludes what the test uses.
    """
    for (arm, test), (result, why) in sorted(results.items()):
        plain, plain_why = results.get(("unpatched", test), ("missing", ""))
        if arm == "unpatched":
            continue
        if arm == "off" and result != plain:
            yield f"{test}: {result} with the mode off, {plain} without the patch series: {why or plain_why}"
        elif arm != "off" and result not in (plain, REFUSED):
            yield f"{test}: {result} with {arm} forced, {plain} without the patch series: {why or plain_why}"


def failures(results: Results) -> Iterator[str]:
    """The failed tests, if there is no unpatched QEMU to compare with."""
    for (_, test), (result, why) in sorted(results.items()):
        if result not in (PASSED, SKIPPED):
            yield f"{test}: {result}: {why}"


def only_skipped(results: Results) -> dict[str, str]:
    """The tests that were skipped and passed or failed under no arm, each with the reason: they show nothing."""
    shown = {test for (_, test), (result, _) in results.items() if result in (PASSED, FAILED)}
    return {
        test: why
        for (_, test), (result, why) in sorted(results.items(), reverse=True)
        if result == SKIPPED and test not in shown
    }


def skip_reasons(text: str) -> dict[str, str]:
    """The reasons for which tests may be skipped, from lines ``test  reason``; ``#`` begins a comment."""
    rows = [line.split(maxsplit=1) for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return {row[0]: row[1] for row in rows}
