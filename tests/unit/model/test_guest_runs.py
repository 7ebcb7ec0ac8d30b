"""When the guest stopped and ran again, on the source and on the destination."""

from __future__ import annotations

import pytest
from fakedirty.model.enums import Level, Mode
from fakedirty.model.events import Event, GuestArrived, GuestContinued, GuestStopped, ModeChanged, RoundEnded
from fakedirty.model.migration import Migration
from made_migrations import START, bulk


def after(*events: Event, incoming: bool = False) -> tuple[int | None, int | None, int | None]:
    """When it stopped, when it ran, and the time between, from the start."""
    migration = Migration("vm", Level.PATCHED, "m1", START, incoming=incoming)
    for event in events:
        migration.apply(event)
    stopped, resumed = (None if time is None else time - START for time in (migration.stopped_ns, migration.resumed_ns))
    return stopped, resumed, migration.outside_downtime_ns


STOPPED = GuestStopped(START + 5)


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([STOPPED, GuestArrived(START + 8, running=True)], (5, 8, 3)),
        ([STOPPED, GuestArrived(START + 5, running=True)], (5, 5, 0)),
        ([STOPPED, GuestArrived(START + 4, running=True)], (5, None, None)),
        ([STOPPED, GuestArrived(START + 8, running=False)], (5, None, None)),
        ([STOPPED, GuestArrived(START + 8, running=True), GuestArrived(START + 9, running=True)], (5, 8, 3)),
        ([GuestArrived(START + 8, running=True)], (None, None, None)),
        ([STOPPED, GuestContinued(START + 7)], (None, None, None)),
        ([STOPPED, GuestArrived(START + 8, running=True), GuestStopped(START + 9)], (9, None, None)),
    ],
)
def test_on_the_source(events: list[Event], expected: tuple[int | None, ...]) -> None:
    assert after(*events) == expected


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([GuestArrived(START + 8, running=True)], (None, 8, None)),
        ([GuestArrived(START + 8, running=False)], (None, None, None)),
        ([GuestArrived(START + 8, running=False), GuestContinued(START + 9)], (None, 9, None)),
        ([GuestArrived(START + 8, running=True), GuestContinued(START + 9)], (None, 8, None)),
    ],
)
def test_on_the_destination(events: list[Event], expected: tuple[int | None, ...]) -> None:
    assert after(*events, incoming=True) == expected


def toggle(number: int, before: Mode, after: Mode) -> ModeChanged:
    return ModeChanged(START, number, before, after, "xxh3-64")


def test_a_toggle_is_read_back_from_the_next_one_in_its_round_before_the_end_of_the_round() -> None:
    """The next one, not the one after it; one of a later round does not count."""
    migration = Migration("vm", Level.PATCHED, "m1", START)
    first, second, third = (
        toggle(1, Mode.OFF, Mode.OBSERVE),
        toggle(1, Mode.OBSERVE, Mode.SKIP),
        toggle(1, Mode.SKIP, Mode.OFF),
    )
    later = toggle(2, Mode.SKIP, Mode.OBSERVE)
    for event in (first, second, third, RoundEnded(START, bulk()), later):
        migration.apply(event)
    assert bulk().mode is Mode.OBSERVE
    assert [migration.read_back(each) for each in (first, second, third)] == [Mode.OBSERVE, Mode.SKIP, Mode.OBSERVE]
    assert migration.read_back(later) is None


def test_of_two_toggles_in_a_round_the_first_is_read_back_from_the_second() -> None:
    migration = Migration("vm", Level.PATCHED, "m1", START)
    toggles = toggle(1, Mode.OFF, Mode.OBSERVE), toggle(1, Mode.OBSERVE, Mode.SKIP)
    for event in (*toggles, RoundEnded(START, bulk(mode=Mode.SKIP))):
        migration.apply(event)
    assert [migration.read_back(each) for each in toggles] == [Mode.OBSERVE, Mode.SKIP]
