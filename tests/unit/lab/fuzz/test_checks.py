"""Checks of a switchover: its pages against the expected ones, if nothing happened between decision and switchover."""

from __future__ import annotations

from typing import Any

from fakedirty.lab.fuzz.checks import check_switchover_mode, check_switchover_pages, expected_pages
from fakedirty.lab.fuzz.plans.draw_attempt import AVAILABLE
from fakedirty.lab.fuzz.plans.draw_plan import draw_plan
from fakedirty.lab.fuzz.plans.possibilities import Possibilities
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
    assert expected_pages(rounds(), FINAL) == 300
    assert check_switchover_pages(rounds(), 300) == []
    [error] = check_switchover_pages(rounds(), 299)
    assert error == "the switchover sent 300 pages, and was expected to send 299"


def test_a_switchover_has_no_expectation_if_something_happened_before_it() -> None:
    assert expected_pages(rounds({"dirty": 2001}), FINAL) is None, "the guest wrote on"
    assert expected_pages(rounds({"hash": "sha1"}), FINAL) is None, "the records were dropped"
    assert expected_pages(rounds(before={"mode": "observe"}), FINAL) is None, "there was no look"
    assert expected_pages(rounds(before={"visited": 5, "left": 1995}), FINAL) is None, (
        "another round would have followed"
    )
    assert expected_pages(rounds({"dirty": 0}, {"dirty": 0, "left": 0}), FINAL) is None, "no page was dirty"
    assert expected_pages(rounds(), {}) is None
    assert expected_pages({"rounds": rounds()["rounds"][1:]}, FINAL) is None, "there was no round but the bulk round"


def test_mode_and_hash_stay_from_the_decision_to_the_switchover() -> None:
    exact = {"exact": True}
    assert check_switchover_mode(rounds(exact, exact)) == []
    [error] = check_switchover_mode(rounds({**exact, "mode": "off"}, exact))
    assert error == "the switchover was decided in mode skip, hash xxh3-64, and made in mode off, hash xxh3-64"
    assert check_switchover_mode(rounds({**exact, "hash": "sha1"}, exact))
    assert check_switchover_mode(rounds({"mode": "off"})) == [], "an earlier series adopts another mode at any moment"
    assert check_switchover_mode(rounds({**exact, "kind": "iterative", "mode": "off"})) == []
    assert check_switchover_mode({"rounds": rounds(exact)["rounds"][2:]}) == []
    assert check_switchover_mode({"rounds": []}) == []


def test_a_guest_is_stopped_after_the_last_toggle() -> None:
    possibilities = Possibilities(("xxh3-64", "sha1"))
    plans = [draw_plan(7, index, possibilities) for index in range(200)]
    stopped = [plan for plan in plans if plan.attempts[-1].guest_stop]
    assert 20 <= len(stopped) <= 60
    for plan in stopped:
        attempt = plan.attempts[-1]
        assert attempt.guest_stop
        moment = attempt.guest_stop.moment.after_seconds or 0
        last = attempt.toggles[-1]
        assert (last.mode, last.hasty) == (Mode.SKIP, False)
        assert all((toggle.moment.after_seconds or 0) < moment for toggle in attempt.toggles)
        assert not [change for change in attempt.changes if AVAILABLE in change.parameters]
        assert attempt.guest_stop.parameters["fake-dirty-switchover"] is True
        assert moment < attempt.seconds
    assert not [plan for plan in plans for attempt in plan.attempts[:-1] if attempt.guest_stop]
