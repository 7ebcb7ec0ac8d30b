"""What must hold of the rounds of a fuzzed migration, by the history that QEMU keeps and the totals that it reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fakedirty.lab.migrate import Outcome
from fakedirty.model.round import Round, broken_law
from fakedirty.observe.decode.qmp_history import history_round

LEAST_ROUNDS = 3

# of query-migrate, and the column of the rounds that must sum up to it
TOTALS = (
    ("ram", "normal", "normal_pages"),
    ("ram", "duplicate", "zero_pages"),
    ("fake-dirty", "skipped", "skipped_pages"),
    ("fake-dirty", "saved-bytes", "saved_bytes"),
)


def check_history(history: Mapping[str, Any], outcome: Outcome, *, mended: bool = False) -> list[str]:
    """What does not add up: conservation in every round, and, of a completed migration, QEMU's totals.

    Of one whose link was `mended` in postcopy, what the link lost was sent twice.
    """
    rounds = [history_round(each, int(history["migration-start"])) for each in history["rounds"]]
    wrong = [f"round {each.round}: {law}" for each in rounds if (law := broken_law(each))]
    if false_equal := outcome.final.get("fake-dirty", {}).get("false-equal", 0):
        wrong.append(f"the audit found {false_equal} pages that a hash took for unchanged")
    if outcome.status != "completed" or history["dropped"]:
        return wrong
    if "postcopy" in history:
        return wrong + check_postcopy(rounds, history, outcome.final, mended=mended)
    for part, total, counted in TOTALS:
        told = outcome.final.get(part, {total: 0})[total]  # there is no fake-dirty where the mode was never on
        if (summed := sum(getattr(each, counted) or 0 for each in rounds)) != told:
            wrong.append(
                f"the rounds sum up to {summed} {counted.removesuffix('_pages')}, query-migrate says {told} {total}"
            )
    return wrong


def check_postcopy(
    rounds: Sequence[Round], history: Mapping[str, Any], final: Mapping[str, Any], *, mended: bool = False
) -> list[str]:
    """What does not add up where postcopy sent the rest: what is in no round is what was left to it."""
    sent = sum((each.normal_pages or 0) + (each.zero_pages or 0) for each in rounds)
    left, told = int(history["postcopy"]["pages"]), int(final["ram"]["normal"] + final["ram"]["duplicate"])
    if sent + left == told or (mended and sent + left < told):
        return []
    return [f"the rounds sum up to {sent} pages, {left} were left to postcopy, query-migrate says {told} in all"]


def check_decided(history: Mapping[str, Any]) -> list[str]:
    """What is wrong if something else than what the switchover was decided by took effect in it.

    A QEMU whose rounds say whether they are exact adopts nothing any more then; one of an earlier series did.
    """
    rounds: Sequence[Mapping[str, Any]] = history["rounds"]
    if len(rounds) < 2 or rounds[-1]["kind"] != "switchover" or "exact" not in rounds[-1]:
        return []
    decided, done = (f"mode {each['mode']}, hash {each.get('hash')}" for each in rounds[-2:])
    return [f"the switchover was decided in {decided}, and made in {done}"] if decided != done else []


def expectation(history: Mapping[str, Any], final: Mapping[str, Any]) -> int | None:
    """Pages that the switchover was expected to send at most, where nothing happened between that and the switchover.

    None where the guest wrote on, mode or hash changed, or the switchover did not come of a look at dirty pages.
    """
    if len(history["rounds"]) < LEAST_ROUNDS:
        return None
    before, last = history["rounds"][-2:]
    alike = all(before.get(name) == last.get(name) for name in ("mode", "hash")) and last["mode"] == "skip"
    if last["kind"] != "switchover" or not alike or before["visited"] or not last["dirty"] == before["left"] > 0:
        return None
    expected = final.get("fake-dirty", {}).get("expected")
    return None if expected is None else int(expected)


def check_switchover(history: Mapping[str, Any], expected: int) -> list[str]:
    """What is wrong if the last round sent more pages than were expected."""
    last = history["rounds"][-1]
    sent = sum(last[name] for name in ("normal", "zero", "xbzrle", "unchanged"))
    return [f"the switchover sent {sent} pages, and was expected to send {expected}"] if sent > expected else []
