"""Checks of the rounds of a fuzzed migration, by QEMU's history of rounds and the totals of ``query-migrate``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fakedirty.lab.migrate import MigrationResult
from fakedirty.model.round import Round, broken_law
from fakedirty.observe.decode.qmp_history import history_round

LEAST_ROUNDS = 3

# part and total of query-migrate, and the column of the rounds whose sum must equal it
TOTALS = (
    ("ram", "normal", "normal_pages"),
    ("ram", "duplicate", "zero_pages"),
    ("fake-dirty", "skipped", "skipped_pages"),
    ("fake-dirty", "saved-bytes", "saved_bytes"),
)


def check_history(history: Mapping[str, Any], outcome: MigrationResult, *, mended: bool = False) -> list[str]:
    """Check conservation in every round, and, if the migration completed, QEMU's totals.

    Args:
        history: QEMU's history of rounds.
        outcome: of the migration.
        mended: whether the link was mended in postcopy: QEMU has then sent again what the link lost.

    Returns:
        What is wrong.
    """
    rounds = [history_round(each, int(history["migration-start"])) for each in history["rounds"]]
    errors = [f"round {each.round}: {law}" for each in rounds if (law := broken_law(each))]
    if false_equal := outcome.final.get("fake-dirty", {}).get("false-equal", 0):
        errors.append(f"the audit found {false_equal} pages that a hash took for unchanged")
    if outcome.status != "completed" or history["dropped"]:
        return errors
    if "postcopy" in history:
        return errors + _check_postcopy(rounds, history, outcome.final, mended=mended)
    for part, total, column in TOTALS:
        reported = outcome.final.get(part, {total: 0})[total]  # there is no fake-dirty where the mode was never on
        if (summed := sum(getattr(each, column) or 0 for each in rounds)) != reported:
            name = column.removesuffix("_pages")
            errors.append(f"the rounds sum up to {summed} {name}, query-migrate reports {reported} {total}")
    return errors


def _check_postcopy(
    rounds: Sequence[Round], history: Mapping[str, Any], final: Mapping[str, Any], *, mended: bool
) -> list[str]:
    """Check that every page that is in no round was left to postcopy."""
    sent = sum((each.normal_pages or 0) + (each.zero_pages or 0) for each in rounds)
    left, reported = int(history["postcopy"]["pages"]), int(final["ram"]["normal"] + final["ram"]["duplicate"])
    if sent + left == reported or (mended and sent + left < reported):
        return []
    return [f"the rounds sum up to {sent} pages, {left} were left to postcopy, query-migrate reports {reported} in all"]


def check_switchover_mode(history: Mapping[str, Any]) -> list[str]:
    """Check that the switchover had the mode and the hash that it was decided with.

    A QEMU whose rounds have ``exact`` adopts nothing after that decision; one of an earlier series does.

    Returns:
        What is wrong.
    """
    rounds: Sequence[Mapping[str, Any]] = history["rounds"]
    if len(rounds) < 2 or rounds[-1]["kind"] != "switchover" or "exact" not in rounds[-1]:
        return []
    decided, done = (f"mode {each['mode']}, hash {each.get('hash')}" for each in rounds[-2:])
    return [f"the switchover was decided in {decided}, and made in {done}"] if decided != done else []


def expected_pages(history: Mapping[str, Any], final: Mapping[str, Any]) -> int | None:
    """How many pages QEMU expected to send in the switchover at most.

    Args:
        history: QEMU's history of rounds.
        final: ``query-migrate`` at the end.

    Returns:
        None if the expectation does not bind QEMU: the guest wrote on, mode or hash changed, or QEMU did not decide
        after a look at the dirty pages.
    """
    if len(history["rounds"]) < LEAST_ROUNDS:
        return None
    before, last = history["rounds"][-2:]
    alike = all(before.get(name) == last.get(name) for name in ("mode", "hash")) and last["mode"] == "skip"
    if last["kind"] != "switchover" or not alike or before["visited"] or not last["dirty"] == before["left"] > 0:
        return None
    expected = final.get("fake-dirty", {}).get("expected")
    return None if expected is None else int(expected)


def check_switchover_pages(history: Mapping[str, Any], expected: int) -> list[str]:
    """Check that the last round sent no more pages than `expected`.

    Returns:
        What is wrong.
    """
    last = history["rounds"][-1]
    sent = sum(last[name] for name in ("normal", "zero", "xbzrle", "unchanged"))
    return [f"the switchover sent {sent} pages, and was expected to send {expected}"] if sent > expected else []
