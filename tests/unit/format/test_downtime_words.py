"""The sentence about a downtime."""

from __future__ import annotations

from dataclasses import replace

from fakedirty.format.downtime_words import downtime_words, time_words
from fakedirty.model.downtime import Blackout, Part, PartKind
from made_migrations import made, tell
from made_switchover import DESTINATION, END, MS, SOURCE


def gone() -> Blackout:
    found = tell(made(), [], (*SOURCE, *DESTINATION, *END)).blackout
    assert found is not None
    return found


def test_the_five_slowest_are_named_and_the_others_added_up() -> None:
    assert downtime_words(gone()) == (
        "The guest was stopped for 70 ms: last RAM 34 ms, start 9.0 ms, saving 0000:00:03.0/virtio-net 8.0 ms, "
        "loading 0000:00:03.0/virtio-net 7.0 ms, wire 4.0 ms, other parts 8.0 ms."
    )


def test_the_rest_is_called_unexplained() -> None:
    one = Blackout((Part(PartKind.RAM, 0, 60 * MS, 60 * MS),), 100 * MS)
    assert downtime_words(one) == "The guest was stopped for 100 ms: last RAM 60 ms, unexplained 40 ms."


def test_without_a_measured_whole_there_is_none() -> None:
    load = Part(PartKind.LOAD, None, 3 * MS, None, "timer", 2)
    assert downtime_words(Blackout((load,))) == (
        "Slowest in the downtime, which was not measured as a whole: loading timer 2 3.0 ms."
    )


def test_a_downtime_of_no_parts_that_took_time_has_no_list() -> None:
    """QEMU counts its own downtime in ms, and a device in µs."""
    assert downtime_words(Blackout((Part(PartKind.RAM, None, 0, 0),), 0)) == "The guest was stopped for 0 ms."
    assert downtime_words(Blackout((Part(PartKind.LOAD, None, 0, None, "timer"),))) == (
        "The downtime was not measured as a whole, and no part of it took a measurable time."
    )


def test_a_name_cannot_command_a_terminal() -> None:
    load = Part(PartKind.LOAD, 0, 3 * MS, 3 * MS, "timer\x1b[2J", 0)
    assert "\x1b" not in downtime_words(replace(gone(), parts=(load,)))


def test_the_least_time_is_a_microsecond() -> None:
    assert [time_words(ns) for ns in (0, 1, 499, 1_500)] == ["0 ms", "1 µs", "1 µs", "2 µs"]
