"""Rounds from answers of QMP: by a patched QEMU's history, and by counting a stock one's bitmap syncs."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from fakedirty.model.enums import Kind, Mode
from fakedirty.model.events import MigrationStarted, ModeChanged, RoundEnded, StateChanged
from fakedirty.model.trace import Channel, TraceRecord
from fakedirty.observe.decode.interfaces import EndUnknown, Observed
from fakedirty.observe.decode.outgoing import Outgoing, OutgoingState
from fakedirty.observe.decode.qmp_history import HistoryReader, history_round
from fakedirty.observe.decode.qmp_stock import PollReader
from fakedirty.observe.decode.reader import QmpTraceReader
from fakedirty.qmp.rounds_command import COMMANDS

SECOND = 1_000_000_000
NEVER_RECEIVES = False


def info(status: str, syncs: int = 0, normal: int = 0, duplicate: int = 0, ms: int | None = None) -> dict[str, Any]:
    """A source's answer as QEMU 7.2 to 11.1 shape it: counters and times from the end of the setup to a good one."""
    if status == "none":
        return {}
    if status in ("setup", "cancelled", "failed", "wait-unplug", "colo"):
        return {"status": status}
    ram = {"dirty-sync-count": syncs, "normal": normal, "duplicate": duplicate, "transferred": 4096 * normal}
    times = {"total-time": 1000 * syncs + normal if ms is None else ms, "setup-time": 3}
    return {"status": status, "ram": ram, **times}


def polled(*infos: dict[str, Any], run_state: str = "running", may_receive: bool = NEVER_RECEIVES) -> list[Observed]:
    """A look a second."""
    return looked(*((run_state, given) for given in infos), may_receive=may_receive)


def looked(*looks: tuple[str | None, dict[str, Any]], may_receive: bool = True) -> list[Observed]:
    """A look a second, each a run state and an answer."""
    reader = PollReader(may_receive)
    return [
        event
        for number, (run_state, given) in enumerate(looks, 1)
        for event in reader.take(number * SECOND, given, run_state)
    ]


def starts(events: list[Observed]) -> int:
    return sum(isinstance(event, MigrationStarted) for event in events)


def rounds_of(events: list[Observed]) -> list[RoundEnded]:
    return [event for event in events if isinstance(event, RoundEnded)]


def entry(number: int, **changes: Any) -> dict[str, Any]:
    pages = ("dirty", "forced", "visited", "first", "changed", "fake", "normal", "zero", "xbzrle", "unchanged")
    return {
        **dict.fromkeys((*pages, "skipped", "left", "hinted", "transferred", "saved", "hash-time", "forced-syncs"), 0),
        "round": number,
        "kind": "iterative",
        "mode": "observe",
        "hash": "xxh3-64",
        "start": 1000 * number,
        "end": 1000 * number + 500,
        **changes,
    }


def history(*rounds: dict[str, Any], start: int = 1000) -> dict[str, Any]:
    return {"migration-start": start, "dropped": 0, "rounds": list(rounds)}


def status(name: str, mode: str = "observe") -> dict[str, Any]:
    return {"status": name, "fake-dirty": {"mode": mode, "hash": "xxh3-64"}}


def test_a_stock_migration_by_its_syncs() -> None:
    events = polled(
        info("none"),
        info("setup"),
        info("active", 1, 10, 5),
        info("active", 1, 100, 50),
        info("active", 2, 120, 50),
        info("active", 2, 121, 50),
        info("active", 3, 130, 50),
        info("active", 3, 135, 50),
        info("completed", 3, 140, 51),
    )
    rounds = rounds_of(events)
    assert [entry.round.round for entry in rounds] == [1, 2, 3]
    assert [entry.round.kind for entry in rounds] == [Kind.BULK, Kind.ITERATIVE, Kind.SWITCHOVER]
    assert [entry.round.normal_pages for entry in rounds] == [120, 10, 10]
    assert [entry.round.zero_pages for entry in rounds] == [50, 0, 1]
    assert rounds[0].round.fake_pages is None
    assert not any(entry.flaw for entry in rounds)
    assert events[-1] == StateChanged(events[-1].time_ns, "completed")


def test_rounds_without_a_look_within_are_one_row_that_says_so() -> None:
    events = polled(
        *(info("none"), info("active", 1), info("active", 2, 10)),
        *(info("active", 3, 13), info("active", 4, 17), info("active", 9, 30), info("completed", 11, 32)),
    )
    rounds = rounds_of(events)
    assert [(entry.round.round, entry.round.normal_pages) for entry in rounds] == [(1, 10), (2, 7), (4, 13), (9, 2)]
    assert [entry.flaw.partition(" cannot")[0] for entry in rounds] == [
        "",  # a look fell within it
        "rounds 2 to 3",  # 2 was seen to end, and 3 too, but no look fell within either
        "rounds 4 to 8",
        "rounds 9 to 11",
    ]
    assert sum(entry.round.normal_pages or 0 for entry in rounds) == 32


def test_rows_in_which_cpus_were_throttled_have_a_remark() -> None:
    throttled = info("active", 2, 20) | {"cpu-throttle-percentage": 20}
    events = polled(
        *(info("none"), info("active", 1), info("active", 1, 9), throttled, info("active", 2, 25)),
        *(info("active", 3, 33), info("active", 3, 35), info("completed", 3, 40)),
    )
    assert [bool(entry.round.remark) for entry in rounds_of(events)] == [True, False, False]
    assert not any(entry.flaw for entry in rounds_of(events))


def test_a_row_keeps_its_remark_when_cpus_are_throttled_no_more() -> None:
    throttled = info("active", 1, 9) | {"cpu-throttle-percentage": 20}
    events = polled(info("none"), info("active", 1), throttled, info("active", 1, 15), info("active", 2, 20))
    assert [bool(entry.round.remark) for entry in rounds_of(events)] == [True]


def test_of_a_cancelled_migration_the_last_pages_are_not_counted_and_the_row_says_so() -> None:
    rounds = rounds_of(polled(info("none"), info("active", 1, 4), info("active", 1, 9), info("cancelled")))
    assert [entry.round.normal_pages for entry in rounds] == [9]
    assert "after the last look is not counted" in rounds[0].flaw


def test_stock_seen_from_the_middle_or_not_at_all() -> None:
    assert polled(info("active", 5, 100, ms=400))[0] == MigrationStarted(SECOND - 400_000_000, partial=True)
    assert polled(info("completed", 5, 100), info("completed", 5, 100)) == []


def test_a_start_and_an_end_between_two_looks_are_dated_by_qemus_own_times() -> None:
    events = polled(info("none"), info("active", 1, 5, ms=700), info("completed", 1, 9, ms=1200))
    assert events[0] == MigrationStarted(1_300_000_000)
    assert events[-1] == StateChanged(2_500_000_000, "completed")


def test_stock_one_after_the_other() -> None:
    events = polled(
        *(info("none"), info("active", 1), info("cancelled")),
        *(info("cancelled"), info("setup"), info("active", 1), info("completed", 2, 7)),
    )
    assert starts(events) == 2
    assert [event.state for event in events if isinstance(event, StateChanged)][-1] == "completed"


@pytest.mark.parametrize("second", [info("active", 1, 2), info("setup"), info("active", 7, 900, ms=20)])
def test_a_migration_that_was_ended_and_begun_anew_between_two_looks_is_two(second: dict[str, Any]) -> None:
    events = polled(info("none"), info("active", 1, 5), info("active", 6, 800), second, info("active", 9, 950))
    assert starts(events) == 2
    lost = next(entry for entry in rounds_of(events) if "ended between two looks" in entry.flaw)
    assert lost.time_ns == 3 * SECOND


@pytest.mark.parametrize(
    ("second", "asked_ms", "another"),
    [
        ({"ms": 600}, 10, True),
        ({"ms": 1201}, 10, False),
        ({"ms": 1199, "normal": 15}, 10, False),
        ({"ms": 600}, None, False),
        ({"ms": 600}, 700, False),
        ({"ms": 1200, "setup-time": 4}, None, True),
        ({"ms": 1200, "setup-time": 0}, None, False),
    ],
    ids=["later start", "same start", "same start, earlier", "old trace", "late answer", "other setup", "no setup yet"],
)
def test_a_migration_that_has_come_further_than_the_one_before_it(
    second: dict[str, Any], asked_ms: int | None, another: bool
) -> None:
    """The first was 200 ms old when it was seen; a second later the one that is seen has counted more."""
    reader = PollReader(NEVER_RECEIVES)
    now = info("active", 1, 15, ms=second.pop("ms")) | {"setup-time": 3}
    now["ram"] |= {"normal": second.pop("normal", 15)}
    looks = [info("none"), info("active", 1, 10, ms=200), now | second]
    events: list[Observed] = []
    for number, given in enumerate(looks, 1):
        asked_ns = None if asked_ms is None else number * SECOND - asked_ms * 1_000_000
        events += reader.take(number * SECOND, given, "running", asked_ns)
    assert starts(events) == (2 if another else 1)
    assert [bool(entry.flaw) for entry in rounds_of(events)] == ([True] if another else [])
    if another and asked_ms:
        assert [event.time_ns for event in events if isinstance(event, MigrationStarted)] == [
            int(1.8 * SECOND),
            int(2.4 * SECOND),
        ]


def test_stock_counters_that_grow_after_the_end_are_no_other_migration() -> None:
    ends = [info("completed", *counts, ms=1900) for counts in ((2, 5), (2, 6), (3, 6))]
    assert starts(polled(info("none"), info("active", 1), *ends)) == 1


def test_stock_migration_that_passed_between_two_polls() -> None:
    events = polled(info("none"), info("active", 1), info("cancelled"), info("completed", 9, 90))
    assert starts(events) == 2
    events = polled(info("none"), info("completed", 9, 90, ms=8), info("completed", 9, 90, ms=9))
    assert starts(events) == 2


SNAPSHOT = info("completed", 2, 900, ms=0)


@pytest.mark.parametrize("before", [[], [info("active", 1), info("cancelled")], [info("active", 1), info("failed")]])
def test_a_snapshot_is_no_migration(before: list[dict[str, Any]]) -> None:
    events = polled(info("none"), *before, info("setup"), SNAPSHOT, SNAPSHOT, SNAPSHOT, info("failed"))
    assert starts(events) == (1 if before else 0)
    # and what leaves after it is one
    events = polled(info("none"), SNAPSHOT, SNAPSHOT, info("active", 1), info("completed", 2, 900), SNAPSHOT)
    assert starts(events) == 1
    assert [event.state for event in events if isinstance(event, StateChanged)] == ["active", "completed"]


def test_a_completed_migration_whose_times_are_not_computed_yet_is_looked_at_again() -> None:
    events = polled(info("none"), info("active", 1), info("completed", 2, 7, ms=0), info("completed", 2, 7, ms=2100))
    assert events[-1] == StateChanged(events[-1].time_ns, "completed")
    assert starts(events) == 1


def test_a_snapshot_between_two_looks_does_not_complete_a_migration() -> None:
    events = polled(info("none"), info("active", 1, 50), SNAPSHOT, SNAPSHOT)
    assert isinstance(events[-1], EndUnknown)
    assert [event.state for event in events if isinstance(event, StateChanged)] == ["active"]
    assert "ended between two looks" in rounds_of(events)[-1].flaw


def given(status: str, **more: object) -> dict[str, Any]:
    """A destination's answer with all that a release reports, or may one day: whatever a source reports."""
    return {**info("active", 3, 70, 7), "remaining": 4096, "downtime": 5, **more, "status": status}


INCOMING = ("setup", "active", "device", "postcopy-device", "failing", "sixteen", "postcopy-recover-setup")


@pytest.mark.parametrize("shape", [lambda status: {"status": status}, given])
def test_an_incoming_migration_is_none(shape: Callable[[str], dict[str, Any]]) -> None:
    incoming: list[tuple[str | None, dict[str, Any]]] = [
        ("inmigrate", {}),
        *(("inmigrate", shape(state)) for state in INCOMING),
        # the guest runs here while its pages still come
        *(("running", shape(state)) for state in ("postcopy-active", "postcopy-paused", "postcopy-recover", "new")),
        *(("running", shape("completed")) for _ in range(2)),
    ]
    assert looked(*incoming) == []
    # and is sent on: what completed before is not in the way
    for state in ("active", "cancelling", "wait-unplug", "later"):
        events = looked(*incoming, ("running", {**given(state), "ram": {}}), ("postmigrate", info("completed", 4, 80)))
        assert starts(events) == 1
        assert events[-1] == StateChanged(events[-1].time_ns, "completed")


def test_an_incoming_migration_met_in_the_middle_is_none_and_an_outgoing_one_is_partial() -> None:
    for state in ("postcopy-active", "postcopy-device", "colo", "sixteen"):
        assert looked(("running", given(state)), ("running", given(state)), ("running", given("completed"))) == []
        for left in ("finish-migrate", "postmigrate"):
            [start] = [event for event in looked((left, given(state))) if isinstance(event, MigrationStarted)]
            assert start.partial
        # one that cannot receive sends
        assert starts(looked(("running", given(state)), may_receive=False)) == 1


def test_an_answer_from_before_the_arrival_is_not_taken_for_a_migration_from_here() -> None:
    """The run state is queried first: the guest may arrive between the two."""
    assert (
        looked(("inmigrate", given("active")), ("inmigrate", given("completed")), ("running", given("completed"))) == []
    )


@pytest.mark.parametrize("state", ["failing", "postcopy-device", "postcopy-recover-setup", "wait-unplug", "sixteen"])
def test_a_state_that_is_not_known_is_kept_and_is_no_end(state: str) -> None:
    unknown = {**info("active", 1, 9), "status": state, "remaining": 8192}
    events = polled(info("none"), info("active", 1, 3), unknown, unknown, info("active", 1, 12))
    assert [event.state for event in events if isinstance(event, StateChanged)] == ["active", state, "active"]
    assert starts(events) == 1


def test_answers_without_run_states_are_those_of_old_traces() -> None:
    old = [(None, given) for given in (info("none"), info("setup"), info("active", 1), info("completed", 2, 5))]
    assert starts(looked(*old)) == 1
    incoming = [(None, {"status": state}) for state in ("setup", "active", "active", "completed", "completed")]
    assert looked(*incoming) == []
    assert starts(looked(*incoming, *old[1:])) == 1


def test_patched_history_is_read_once_and_whole() -> None:
    reader = HistoryReader()
    whole = history(entry(1), entry(2, mode="skip"), entry(3, kind="switchover", mode="skip"))
    events = [
        *reader.take(1, {"status": "none"}, {"migration-start": 0, "dropped": 0, "rounds": []}),
        *reader.take(2, status("active"), history(entry(1, kind="bulk", visited=7, normal=7, first=7))),
        *reader.take(3, status("active", "skip"), history(entry(1), entry(2, mode="skip"))),
        *reader.take(4, status("completed", "skip"), whole),
        *reader.take(5, status("completed", "skip"), whole),
    ]
    assert [type(event) for event in events] == [
        *(MigrationStarted, ModeChanged, RoundEnded, StateChanged),
        *(ModeChanged, RoundEnded),
        *(RoundEnded, StateChanged),
    ]
    assert events[0] == MigrationStarted(1000)
    bulk = events[2]
    assert isinstance(bulk, RoundEnded)
    assert (bulk.round.kind, bulk.round.visited_pages, bulk.round.fake_pages) == (Kind.BULK, 7, 0)
    assert events[4] == ModeChanged(3, 2, Mode.OBSERVE, Mode.SKIP, "xxh3-64")


def test_patched_rounds_without_classes() -> None:
    off = entry(1, mode="off")
    for name in ("first", "changed", "fake"):
        del off[name]
    events = list(HistoryReader().take(1, {"status": "active"}, history(off)))
    ended = next(event for event in events if isinstance(event, RoundEnded))
    assert (ended.round.fake_pages, ended.round.hash, ended.round.mode) == (None, None, Mode.OFF)


def test_patched_rounds_that_left_the_history_are_missed() -> None:
    events = list(HistoryReader().take(1, status("active"), history(entry(4))))
    assert any("3 rounds before this one" in event.flaw for event in events if isinstance(event, RoundEnded))


def test_a_toggle_is_placed_in_the_round_at_whose_end_it_was_first_in_force() -> None:
    reader = HistoryReader()
    list(reader.take(1, status("active"), history(entry(1))))
    later = history(entry(1), entry(2), entry(3), entry(4, mode="skip"), entry(5, mode="skip"))
    events = list(reader.take(9999, status("active", "off"), later))
    toggles = [event for event in events if isinstance(event, ModeChanged)]
    assert [(toggle.round, toggle.to_mode) for toggle in toggles] == [(4, Mode.SKIP), (6, Mode.OFF)]


def test_patched_by_a_snapshot_nothing_is_completed() -> None:
    reader = HistoryReader()
    list(reader.take(1, status("active"), history(entry(1))))
    assert list(reader.take(2, SNAPSHOT, history(entry(1)))) == []
    assert list(reader.take(3, SNAPSHOT, history(entry(1)))) == [EndUnknown(3)]
    assert list(reader.take(4, SNAPSHOT, history(entry(1)))) == []


def test_patched_a_migration_that_began_between_two_answers_of_one_look() -> None:
    reader = HistoryReader()
    old = {"status": "cancelled"}
    list(reader.take(1, {"status": "active"}, history()))
    list(reader.take(2, old, history()))
    events = [*reader.take(3, old, history(start=5000)), *reader.take(4, {"status": "active"}, history(start=5000))]
    assert events == [MigrationStarted(5000), StateChanged(4, "active")]


@pytest.mark.parametrize("state", ["cancelled", "failed"])
def test_patched_one_that_ended_between_two_looks_as_the_one_before_it(state: str) -> None:
    reader = HistoryReader()
    looks = [
        (status("none"), history(start=0)),
        (status("active"), history()),
        (status(state), history(entry(1))),
        (status(state), history(entry(1), entry(2), start=7000)),
        (status(state), history(entry(1), entry(2), start=7000)),
        (status(state), history(entry(1), entry(2), start=7000)),
    ]
    events = [event for number, look in enumerate(looks) for event in reader.take(number * SECOND, *look)]
    assert [event.time_ns for event in events if isinstance(event, MigrationStarted)] == [1000, 7000]
    assert [entry.round.round for entry in rounds_of(events)] == [1, 1, 2]
    assert [event.state for event in events if isinstance(event, StateChanged)] == ["active", state, state]


def test_patched_what_is_said_while_the_next_one_is_set_up_is_not_of_the_last() -> None:
    reader = HistoryReader()
    looks = [
        (status("none"), history(start=0)),
        (status("active"), history(entry(1))),
        (status("setup", "skip"), history(start=0)),
        (status("setup", "skip"), history(start=0)),
        (status("active", "skip"), history(start=7000)),
    ]
    events = [event for number, look in enumerate(looks) for event in reader.take(number * SECOND, *look)]
    assert events.count(EndUnknown(2 * SECOND)) == 1
    over = events.index(EndUnknown(2 * SECOND))
    assert [event.to_mode for event in events[:over] if isinstance(event, ModeChanged)] == [Mode.OBSERVE]
    assert isinstance(events[over + 1], MigrationStarted)
    assert [event.state for event in events if isinstance(event, StateChanged)] == ["active", "active"]


def test_patched_what_the_history_does_not_keep_is_polled() -> None:
    """A background snapshot leaves QEMU as a migration does, without rounds."""
    reader = QmpTraceReader(may_receive=False)
    none = {"migration-start": 0, "dropped": 0, "rounds": []}
    looks = [(info("none"), none), (info("active", 1), history()), (info("completed", 2, 9), history())]
    looks += [(info("setup"), none), (info("active", 1), none), (info("completed", 1, 9), none)]
    events = []
    for number, (answer, rounds) in enumerate(looks, 1):
        answers = {"query-status": {"status": "running"}, "query-migrate": answer, "query-fake-dirty-rounds": rounds}
        record = TraceRecord(number * SECOND, Channel.ANSWERS, json.dumps(answers).encode())
        events += list(reader.take(record))
    assert starts(events) == 2
    assert [event.state for event in events if isinstance(event, StateChanged)] == ["active", "completed"] * 2


def test_patched_that_had_ended_before_is_not_ours_but_the_next_is() -> None:
    reader = HistoryReader()
    assert list(reader.take(1, status("completed"), history(entry(1)))) == []
    assert list(reader.take(2, status("completed"), history(entry(1)))) == []
    events = list(reader.take(3, status("active"), history(start=5000)))
    assert events[0] == MigrationStarted(5000)


def of_today(number: int, mode: str, **changes: Any) -> dict[str, Any]:
    """An entry of query-migration-rounds, which has a hash only where the mode was on at its end."""
    given = entry(number, **{"mode": mode, "exact": True, **changes})
    return {name: value for name, value in given.items() if name != "hash" or mode != "off"}


def test_patched_a_history_of_today_is_read() -> None:
    reader = HistoryReader()
    rounds = [
        of_today(1, "skip", kind="bulk"),
        of_today(2, "off"),
        of_today(3, "off", exact=False),
    ]
    list(reader.take(1, status("none"), history(start=0)))
    events = list(reader.take(2, {"status": "active"}, history(*rounds)))
    ended = rounds_of(events)
    assert [(each.round.mode, each.round.hash) for each in ended] == [
        (Mode.SKIP, "xxh3-64"),
        (Mode.OFF, None),
        (Mode.OFF, None),
    ]
    assert [each.exact for each in ended] == [True, True, False]
    toggles = [event for event in events if isinstance(event, ModeChanged)]
    assert [(event.to_mode, event.hash) for event in toggles] == [(Mode.SKIP, "xxh3-64"), (Mode.OFF, None)]


def test_patched_what_an_entry_has_not_is_none() -> None:
    """As of a series without the modes, and of one that cannot skip."""
    absent = ("mode", "hash", "first", "changed", "fake", "skipped", "saved", "hash-time")
    bare = {name: value for name, value in of_today(1, "off").items() if name not in absent}
    found = history_round(bare, 0)
    assert (found.mode, found.hash, found.hash_seconds, found.saved_bytes) == (None, None, None, None)
    assert (found.fake_pages, found.skipped_pages, found.normal_pages) == (None, None, 0)


def test_patched_saved_bytes_have_two_names() -> None:
    """That of today, and that of an earlier series."""
    assert history_round(of_today(1, "skip") | {"saved": 4104}, 0).saved_bytes == 4104
    today = of_today(1, "skip") | {"saved-bytes": 8208}
    del today["saved"]
    assert history_round(today, 0).saved_bytes == 8208


def test_patched_without_a_start_there_was_no_migration() -> None:
    assert [*HistoryReader().take(1, {"status": "none"}, {"dropped": 0, "rounds": []})] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_patched_the_history_is_found_by_either_command(command: str) -> None:
    reader = QmpTraceReader(may_receive=False)
    looks = [(info("none"), history(start=0)), (info("active", 1), history(entry(1)))]
    events: list[Observed] = []
    for number, (answer, rounds) in enumerate(looks, 1):
        answers = {"query-status": {"status": "running"}, "query-migrate": answer, command: rounds}
        events += reader.take(TraceRecord(number * SECOND, Channel.ANSWERS, json.dumps(answers).encode()))
    assert [each.round.round for each in rounds_of(events)] == [1]


def test_patched_each_count_of_the_history_is_its_own() -> None:
    counts = ("dirty", "forced", "visited", "first", "changed", "fake", "normal", "zero", "xbzrle", "unchanged")
    given = {name: number for number, name in enumerate((*counts, "skipped", "left", "hinted"), 1)}
    found = history_round(entry(1, **given), 0)
    assert {name: getattr(found, f"{name}_pages") for name in given} == given


@pytest.mark.parametrize("state", ["wait-unplug", "active", "pre-switchover", "device", "cancelling"])
def test_a_state_of_before_the_guest_runs_elsewhere_is_that_of_a_source(state: str) -> None:
    """A destination has the run state inmigrate then."""
    assert starts(looked(("running", given(state)))) == 1


def test_the_first_answer_does_not_show_a_snapshot_yet() -> None:
    outgoing = Outgoing(may_receive=False)
    assert outgoing.judge(SNAPSHOT, "running") is OutgoingState.UNSETTLED
    assert outgoing.judge(SNAPSHOT, "running") is OutgoingState.SNAPSHOT


def test_a_migration_begins_with_its_setup_where_qemu_has_no_time_yet() -> None:
    """The look at 2 s shows the setup, the one at 3 s a device that is still plugged in."""
    assert polled(info("none"), info("setup"), info("wait-unplug"))[0] == MigrationStarted(2 * SECOND)
    assert polled(info("none"), info("wait-unplug"))[0] == MigrationStarted(2 * SECOND)


def test_seen_from_the_middle_what_was_sent_before_is_not_counted() -> None:
    [entry] = rounds_of(polled(info("active", 5, 100), info("completed", 5, 140)))
    assert (entry.round.round, entry.round.normal_pages, entry.flaw) == (5, 40, "")


def test_postcopy_is_remembered_to_the_end() -> None:
    events = polled(info("none"), info("active", 1, 5), info("postcopy-active", 1, 7), info("completed", 1, 9))
    assert [entry.postcopy for entry in rounds_of(events)] == [True]
    events = polled(
        *(info("none"), info("active", 1, 5), info("postcopy-active", 1, 7), info("completed", 1, 9, ms=4000)),
        *(info("setup"), info("active", 1, 5), info("completed", 1, 9, ms=6000)),
    )
    assert [entry.postcopy for entry in rounds_of(events)] == [True, False]


def test_rounds_that_a_cancelled_migration_had_after_the_last_look() -> None:
    """Some releases report counters to the end: round 1 was looked at, rounds 2 and 3 were not."""
    cancelled = {**info("active", 3, 30), "status": "cancelled"}
    [entry] = rounds_of(polled(info("none"), info("active", 1, 4), cancelled))
    assert entry.flaw == "rounds 1 to 3 cannot be told apart: no look at QEMU fell within each of them"
    assert entry.round.normal_pages == 30


def timed(*looks: tuple[float, float | None, dict[str, Any]]) -> list[Observed]:
    """Looks, each with the second in which it was answered, the one in which it was queried, and the answer."""
    reader = PollReader(NEVER_RECEIVES)
    return [
        event
        for answered, queried, given in looks
        for event in reader.take(
            int(answered * SECOND), given, "running", None if queried is None else int(queried * SECOND)
        )
    ]


def test_a_migration_of_hours_stays_one() -> None:
    first, second = info("active", 1, 5, ms=10_000_000), info("active", 1, 9, ms=10_001_000)
    assert starts(timed((20_000, 20_000, info("none")), (20_001, 20_001, first), (20_002, 20_002, second))) == 1


def test_a_late_answer_does_not_hide_another_migration() -> None:
    """The first began at 1.0 s; its second answer was held up for 2 s. The other began at 2.3 s."""
    events = timed(
        *((0.5, 0.5, info("none")), (1.2, 1.2, info("active", 1, 5, ms=200))),
        *((4.0, 2.0, info("active", 1, 9, ms=1000)), (4.5, 4.5, info("active", 1, 15, ms=2200))),
    )
    assert starts(events) == 2


def test_counters_that_have_fallen_show_another_migration() -> None:
    """Though it is older than the one before it was when it was seen last."""
    assert starts(polled(info("none"), info("active", 6, 800, ms=900), info("active", 1, 2, ms=950))) == 2


@pytest.mark.parametrize(
    "then",
    [info("completed", 1, 9, ms=500), info("wait-unplug")],
    ids=["completed for a while", "without a time"],
)
def test_what_has_no_time_of_now_is_no_other_migration(then: dict[str, Any]) -> None:
    """It began at 1.0 s. Since its end, or since QEMU reports no time, the clock has gone on."""
    events = timed((0.5, 0.5, info("none")), (1.2, 1.2, info("active", 1, 5, ms=200)), (3.0, 2.9, then))
    assert starts(events) == 1


@pytest.mark.parametrize("ms", [0, 400])
def test_a_migration_whose_first_answer_has_no_time_stays_one(ms: int) -> None:
    events = timed(
        *((0.5, 0.5, info("none")), (1.0, 1.0, info("wait-unplug")), (2.0, 2.0, info("active", 1, 5, ms=ms))),
    )
    assert starts(events) == 1


def test_a_migration_that_is_half_a_second_younger_is_another() -> None:
    """The first began at 1.0 s and was 1 s old; the other began at 1.5 s."""
    looks = [(2.0, info("active", 1, 5, ms=1000)), (3.0, info("active", 1, 9, ms=1500))]
    assert starts(timed((0.5, 0.5, info("none")), *((when, when, given) for when, given in looks))) == 2


def test_the_time_of_setup_is_remembered() -> None:
    """An answer in between does not have it."""
    without = info("active", 1, 7, ms=1900)
    del without["setup-time"]
    other = info("active", 1, 9, ms=2900) | {"setup-time": 4}
    assert starts(polled(info("none"), info("active", 1, 5, ms=900), without, other)) == 2
    assert starts(polled(info("none"), info("active", 1, 5, ms=900), without, other | {"setup-time": 3})) == 1


def test_a_failure_between_two_looks_may_be_that_of_a_snapshot() -> None:
    assert polled(info("none"), {**info("active", 2, 9), "status": "failed"}) == []


def test_an_end_with_lower_counters_is_that_of_another_migration() -> None:
    """All of its times are the same."""
    ends = [info("completed", *counts, ms=1900) for counts in ((3, 6), (2, 5))]
    assert starts(polled(info("none"), info("active", 1), *ends)) == 2


def test_the_run_state_is_looked_at_in_the_answers() -> None:
    reader = QmpTraceReader()
    for number in (1, 2):
        answers = {"query-status": {"status": "inmigrate"}, "query-migrate": given("active")}
        record = TraceRecord(number * SECOND, Channel.ANSWERS, json.dumps(answers).encode())
        assert list(reader.take(record)) == []
