"""Two halves of one migration: what matches them, what bounds their clocks, and what refuses them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from fakedirty.errors import RecordError
from fakedirty.record.halves.half import Half, HalfClock
from fakedirty.record.halves.match import match
from fakedirty.record.halves.pairs import find_pairs

MS, SECOND, HOUR = 10**6, 10**9, 3_600 * 10**9
START = 1_700_000_000 * SECOND
UUID = "0e2b3c4d-0000-4000-8000-00000000000a"

SYNCHRONISED = HalfClock(2 * MS, "boot-a", START - 50 * SECOND)
#: of another host
OTHER = HalfClock(3 * MS, "boot-b", START - 7 * SECOND)
UNKNOWN = HalfClock(None, "", 0)

#: the guest is stopped after 6 s and the migration ends after 6.4 s
SOURCE = Half(
    Path("runs/web/s"),
    *("source", "web", UUID, "alpha", "s1", "completed"),
    started_ns=START,
    ended_ns=START + 6_400 * MS,
    stopped_ns=START + 6_000 * MS,
    resumed_ns=None,
    sent_bytes=1_000_000,
    return_path=True,
    clock=SYNCHRONISED,
    summary={},
)
#: the guest arrives 250 ms after its stop, and runs 50 ms later; both clocks show the same
DESTINATION = Half(
    Path("runs/web-in/d"),
    *("destination", "web-in", UUID, "beta", "d1", "completed"),
    started_ns=START + 6_250 * MS,
    ended_ns=START + 6_250 * MS,
    stopped_ns=None,
    resumed_ns=START + 6_300 * MS,
    sent_bytes=None,
    return_path=None,
    clock=OTHER,
    summary={},
)


def shifted(half: Half, ns: int, clock: HalfClock) -> Half:
    """The half by a clock that shows `ns` more."""
    assert half.ended_ns is not None
    assert half.resumed_ns is not None
    times = {"started_ns": half.started_ns + ns, "ended_ns": half.ended_ns + ns, "resumed_ns": half.resumed_ns + ns}
    return replace(half, **times, clock=clock)


def downtime_ms(source: Half, destination: Half) -> tuple[float, float]:
    found = match(source, destination)
    assert found.downtime_ns is not None
    assert found.no_downtime == ""
    low, high = found.downtime_ns
    return low / MS, high / MS


def refusal(one: Half, other: Half) -> str:
    with pytest.raises(RecordError) as caught:
        match(one, other)
    return str(caught.value)


def test_synchronised_clocks_bound_the_downtime() -> None:
    """2 ms and 6.4 s of drift at 500 ppm (3.2 ms) on the source, 3 ms and 50 ms of drift (25 µs) on the destination:
    8.225 ms in all, around 6,300 - 6,000 ms."""
    found = match(SOURCE, DESTINATION)
    assert (found.source, found.destination) == (SOURCE, DESTINATION)
    assert match(DESTINATION, SOURCE) == found
    assert (found.offset_low_ns, found.offset_high_ns, found.offset_by) == (-8_225_000, 8_225_000, "clocks")
    assert downtime_ms(SOURCE, DESTINATION) == (291.775, 308.225)
    assert (found.by, found.remarks) == (("UUID", "time"), ())


def test_states_narrow_what_wide_errors_allow() -> None:
    """By states the offset is from 6,250 - 6,400 to 6,250 - 6,000 ms; by the clocks up to 1 s."""
    wide = replace(SOURCE, clock=replace(SYNCHRONISED, max_error_ns=1 * SECOND))
    found = match(wide, DESTINATION)
    assert (found.offset_low_ns, found.offset_high_ns) == (-150 * MS, 250 * MS)
    assert found.offset_by == "clocks and states"
    assert downtime_ms(wide, DESTINATION) == (50, 450)


@pytest.mark.parametrize("ns", [HOUR, -HOUR, 0, 17 * MS])
def test_clocks_that_are_not_synchronised_are_bounded_by_states(ns: int) -> None:
    """However far they are apart: from the arrival to the run 50 ms, and the 400 ms from stop to end at most."""
    destination = shifted(DESTINATION, ns, UNKNOWN)
    found = match(SOURCE, destination)
    assert (found.offset_low_ns, found.offset_high_ns, found.offset_by) == (ns - 150 * MS, ns + 250 * MS, "states")
    assert downtime_ms(SOURCE, destination) == (50, 450)
    assert match(replace(SOURCE, clock=UNKNOWN), shifted(DESTINATION, ns, OTHER)).downtime_ns == found.downtime_ns


@pytest.mark.parametrize(
    ("ns", "said"),
    [
        (HOUR, "the destination had the guest 3,599.850 s after the source had completed"),
        (-HOUR, "the destination had the guest 3,599.750 s before the source stopped it"),
    ],
    ids=["ahead", "behind"],
)
def test_synchronised_clocks_that_differ_by_an_hour_are_refused(ns: int, said: str) -> None:
    why = refusal(SOURCE, shifted(DESTINATION, ns, OTHER))
    assert why.startswith("the times do not fit: ")
    assert said in why
    assert why.endswith("the clocks of both hosts are at most 0.008 s apart")


@pytest.mark.parametrize("return_path", [False, None])
def test_without_a_return_path_and_without_synchronised_clocks_nothing_bounds_them(return_path: bool | None) -> None:
    source = replace(SOURCE, return_path=return_path)
    for ns in (0, HOUR):
        assert refusal(source, shifted(DESTINATION, ns, UNKNOWN)).startswith("nothing bounds how far the clocks")


def test_without_a_return_path_synchronised_clocks_decide() -> None:
    source = replace(SOURCE, return_path=False)
    assert downtime_ms(source, DESTINATION) == (291.775, 308.225)
    # the source did not wait: the guest may arrive after its end
    assert downtime_ms(source, shifted(DESTINATION, 30 * SECOND, OTHER)) == (30_291.775, 30_308.225)
    late = refusal(source, shifted(DESTINATION, 61 * SECOND, OTHER))
    assert "the guest arrived 60.842 s after the source had completed" in late


def test_a_day_is_the_most_that_clocks_are_apart() -> None:
    assert match(SOURCE, shifted(DESTINATION, 23 * HOUR, UNKNOWN)).downtime_ns is not None
    assert "more than a day apart" in refusal(SOURCE, shifted(DESTINATION, 25 * HOUR, UNKNOWN))


def test_two_recordings_of_one_host_have_one_clock() -> None:
    """Only the rounding of the dates is left; the clock had been set by 3 ms between the two starts."""
    clock = HalfClock(None, "boot-a", SYNCHRONISED.wall_minus_monotonic_ns + 3 * MS)
    destination = shifted(DESTINATION, 3 * MS, clock)
    assert downtime_ms(replace(SOURCE, clock=replace(SYNCHRONISED, max_error_ns=None)), destination) == (
        299.998,
        300.002,
    )


def test_a_step_of_the_clock_makes_it_another_one() -> None:
    clock = HalfClock(None, "boot-a", SYNCHRONISED.wall_minus_monotonic_ns + HOUR)
    assert match(SOURCE, shifted(DESTINATION, HOUR, clock)).offset_by == "states"


def test_the_downtime_is_never_negative() -> None:
    """The guest runs the moment it arrives, and arrives the moment it is stopped: as far as both clocks show."""
    at = SOURCE.stopped_ns
    assert at is not None
    destination = replace(DESTINATION, started_ns=at, resumed_ns=at)
    low, high = downtime_ms(SOURCE, destination)
    assert (low, round(high, 3)) == (0, 8.2)


def test_a_destination_that_never_ran_the_guest_has_no_downtime() -> None:
    found = match(SOURCE, replace(DESTINATION, resumed_ns=None))
    assert found.downtime_ns is None
    assert found.no_downtime == "the guest arrived, and the destination had not run it when its recording ended"


def test_a_source_that_did_not_see_the_stop_has_no_downtime() -> None:
    source = replace(SOURCE, stopped_ns=None)
    found = match(source, DESTINATION)
    assert found.downtime_ns is None
    assert "level qmp" in found.no_downtime
    # the start is before the stop, and bounds the offset from above
    assert match(source, shifted(DESTINATION, 0, UNKNOWN)).offset_high_ns == 6_250 * MS


@pytest.mark.parametrize(
    ("source", "destination", "why"),
    [
        ({}, {"side": "source"}, "are both recordings of a source"),
        ({"side": "destination"}, {}, "are both recordings of a destination"),
        ({}, {"uuid": UUID[:-1] + "b"}, "the guests are different: UUID"),
        ({}, {"uuid": ""}, "the names of the VMs decide: web and web-in"),
        ({"uuid": ""}, {}, "the names of the VMs decide: web and web-in"),
        ({"outcome": "unfinished", "ended_ns": None}, {}, "the recording of the source has no end"),
        ({}, {"outcome": "unfinished", "ended_ns": None}, "the recording of the destination has no end"),
        ({"outcome": "failed"}, {}, "did not leave the source: its migration ended as failed"),
        ({"outcome": "cancelled"}, {}, "did not leave the source: its migration ended as cancelled"),
        ({}, {"outcome": "failed"}, "did not arrive: its migration ended as failed"),
        ({"stopped_ns": START + 7 * SECOND, "clock": UNKNOWN}, {}, "completed before it stopped its guest"),
    ],
)
def test_what_does_not_belong_together_is_refused(
    source: dict[str, object], destination: dict[str, object], why: str
) -> None:
    one, other = replace(SOURCE, **source), replace(DESTINATION, **destination)  # type: ignore[arg-type]
    assert why in refusal(one, other)
    assert why in refusal(other, one) or one.side == other.side


def test_names_decide_where_a_side_has_no_uuid() -> None:
    found = match(SOURCE, replace(DESTINATION, uuid="", vm="web"))
    assert found.by == ("name", "time")
    assert match(replace(SOURCE, uuid=UUID.upper()), DESTINATION).by == ("UUID", "time")


@pytest.mark.parametrize(
    ("received", "by", "remarks"),
    [
        (1_010_000, ("UUID", "time", "bytes"), 0),
        (990_000, ("UUID", "time", "bytes"), 0),
        (1_010_001, ("UUID", "time"), 1),
        (None, ("UUID", "time"), 0),
    ],
)
def test_bytes_are_compared_where_both_sides_report_them(
    received: int | None, by: tuple[str, ...], remarks: int
) -> None:
    found = match(SOURCE, replace(DESTINATION, sent_bytes=received))
    assert (found.by, len(found.remarks)) == (by, remarks)


def test_pairs_are_found_among_recordings_of_two_hosts() -> None:
    """Two migrations of one guest an hour apart, one of another guest, and one whose other half is not there."""
    later = {"started_ns": START + HOUR, "stopped_ns": START + HOUR + 6 * SECOND, "ended_ns": START + HOUR + 6_400 * MS}
    second = replace(SOURCE, migration_id="s2", **later)  # type: ignore[arg-type]
    arrived = replace(shifted(DESTINATION, HOUR, OTHER), migration_id="d2")
    other = replace(SOURCE, migration_id="s3", uuid="", vm="db")
    other_in = replace(DESTINATION, migration_id="d3", uuid="", vm="db")
    alone = replace(DESTINATION, migration_id="d4", uuid=UUID[:-1] + "b")
    pairs, unpaired = find_pairs([arrived, other_in, second, SOURCE, DESTINATION, other, alone])
    assert [(each.source.migration_id, each.destination.migration_id) for each in pairs] == [
        *(("s1", "d1"), ("s3", "d3"), ("s2", "d2")),
    ]
    assert [(each.half, each.reason) for each in unpaired] == [(alone, "none of 3 recordings of a source fits")]


def test_more_than_one_candidate_is_none() -> None:
    twin = replace(DESTINATION, migration_id="d2", host="gamma")
    pairs, unpaired = find_pairs([SOURCE, DESTINATION, twin])
    assert not pairs
    assert [each.reason for each in unpaired] == [
        "more than one candidate: web-in d1 on beta, web-in d2 on gamma",
        *["web s1 on alpha has more than one candidate"] * 2,
    ]


def test_a_recording_and_its_copy_are_named_by_their_directories() -> None:
    copy = replace(DESTINATION, directory=Path("copy/web-in/d"))
    reason = find_pairs([SOURCE, DESTINATION, copy])[1][0].reason
    assert reason == "more than one candidate: runs/web-in/d, copy/web-in/d"


def test_candidates_whose_bytes_all_differ_are_named() -> None:
    wrong = replace(DESTINATION, sent_bytes=700_000)
    other = replace(wrong, migration_id="d2")
    assert [each.reason for each in find_pairs([SOURCE, wrong, other])[1]] == [
        "the bytes of all candidates differ from its own: web-in d1 on beta, web-in d2 on beta",
        *["web s1 on alpha has candidates whose bytes differ from its own"] * 2,
    ]


def test_bytes_decide_between_candidates() -> None:
    right = replace(DESTINATION, sent_bytes=1_001_000)
    wrong = replace(DESTINATION, migration_id="d2", sent_bytes=700_000)
    pairs, unpaired = find_pairs([wrong, SOURCE, right])
    assert [each.destination for each in pairs] == [right]
    assert [(each.half, each.reason) for each in unpaired] == [(wrong, "web s1 on alpha fits another one better")]


def test_one_half_has_none() -> None:
    assert [each.reason for each in find_pairs([SOURCE])[1]] == ["there is no recording of a destination"]
    assert [each.reason for each in find_pairs([DESTINATION])[1]] == ["there is no recording of a source"]
    [_, failed] = find_pairs([replace(SOURCE, outcome="failed"), DESTINATION])[1]
    assert "ended as failed" in failed.reason
    assert find_pairs([]) == ([], [])
