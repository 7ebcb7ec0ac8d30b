"""What the fuzz holds a switchover to: what was expected of it, where nothing came in between."""

from __future__ import annotations

from typing import Any

from fakedirty.lab.fuzz.checks import check_decided, check_switchover, expectation
from fakedirty.lab.fuzz.draw import AVAILABLE, draw
from fakedirty.lab.fuzz.plan import Possibilities
from fakedirty.model.enums import Mode

FINAL = {"fake-dirty": {"expected": 300}}


def rounds(last: dict[str, Any] | None = None, before: dict[str, Any] | None = None) -> dict[str, Any]:
    """Three rounds: a look at 2,000 dirty pages, of which the switchover sends 300."""
    each = {"mode": "skip", "hash": "xxh3-64", "normal": 0, "zero": 0, "xbzrle": 0, "unchanged": 0}
    bulk = {**each, "kind": "bulk", "dirty": 9000, "visited": 9000, "left": 0}
    looked = {**each, "kind": "iterative", "dirty": 2000, "visited": 0, "left": 2000}
    switchover = {**each, "kind": "switchover", "dirty": 2000, "visited": 2000, "left": 0, "normal": 250, "zero": 50}
    return {"rounds": [bulk, {**looked, **(before or {})}, {**switchover, **(last or {})}]}


def test_a_switchover_that_sends_more_than_expected_is_wrong() -> None:
    assert expectation(rounds(), FINAL) == 300
    assert check_switchover(rounds(), 300) == []
    (wrong,) = check_switchover(rounds(), 299)
    assert wrong == "the switchover sent 300 pages, and was expected to send 299"


def test_a_switchover_is_held_to_nothing_where_something_came_in_between() -> None:
    assert expectation(rounds({"dirty": 2001}), FINAL) is None, "the guest wrote on"
    assert expectation(rounds({"hash": "sha1"}), FINAL) is None, "nothing was known any more"
    assert expectation(rounds(before={"mode": "observe"}), FINAL) is None, "there was no look"
    assert expectation(rounds(before={"visited": 5, "left": 1995}), FINAL) is None, "another round would have followed"
    assert expectation(rounds({"dirty": 0}, {"dirty": 0, "left": 0}), FINAL) is None, "there was nothing to be seen"
    assert expectation(rounds(), {}) is None
    assert expectation({"rounds": rounds()["rounds"][1:]}, FINAL) is None, "there was no round but the bulk round"


def test_what_a_switchover_was_decided_by_stays_where_qemu_keeps_it() -> None:
    exact = {"exact": True}
    assert check_decided(rounds(exact, exact)) == []
    (wrong,) = check_decided(rounds({**exact, "mode": "off"}, exact))
    assert wrong == "the switchover was decided in mode skip, hash xxh3-64, and made in mode off, hash xxh3-64"
    assert check_decided(rounds({**exact, "hash": "sha1"}, exact))
    assert check_decided(rounds({"mode": "off"})) == [], "an earlier series takes another mode at any moment"
    assert check_decided(rounds({**exact, "kind": "iterative", "mode": "off"})) == []
    assert check_decided({"rounds": rounds(exact)["rounds"][2:]}) == []
    assert check_decided({"rounds": []}) == []


def test_a_guest_stands_still_where_nothing_is_toggled_any_more() -> None:
    possible = Possibilities(("xxh3-64", "sha1"))
    plans = [draw(7, index, possible) for index in range(200)]
    still = [plan for plan in plans if plan.attempts[-1].still]
    assert 20 <= len(still) <= 60
    for plan in still:
        attempt = plan.attempts[-1]
        assert attempt.still
        moment = attempt.still.moment.after_seconds or 0
        last = attempt.toggles[-1]
        assert (last.mode, last.hasty) == (Mode.SKIP, False)
        assert all((toggle.moment.after_seconds or 0) < moment for toggle in attempt.toggles)
        assert not [change for change in attempt.changes if AVAILABLE in change.parameters]
        assert attempt.still.parameters["fake-dirty-switchover"] is True
        assert moment < attempt.seconds
    assert not [plan for plan in plans for attempt in plan.attempts[:-1] if attempt.still]
