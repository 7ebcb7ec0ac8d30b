"""What comes after the end of a migration belongs to that migration, and to no other, at every level."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from fakedirty.model.enums import Kind, Level
from fakedirty.model.events import Event, MigrationStarted, RoundEnded, StateChanged
from fakedirty.model.migration import Migration
from fakedirty.model.sink import PageBatch
from fakedirty.model.totals import Outcome
from fakedirty.model.trace import Channel, Subject, TraceRecord
from fakedirty.observe.decode import wire
from fakedirty.observe.decode.interfaces import SetUp
from fakedirty.observe.decode.patched import PatchedReader
from fakedirty.observe.decode.qmp_history import HistoryReader
from fakedirty.observe.observer import LAST_ROUND_SECONDS, Observer

MAIN, THREAD, NEXT = 100, 101, 102
SECOND = 10**9


def state(name: str, time_ns: int, tid: int = THREAD) -> wire.StateEvent:
    return wire.StateEvent(wire.EventHeader(time_ns, wire.EVENT_STATE, tid=tid), name.encode())


def ended(
    number: int, time_ns: int, started_ns: int, tid: int = THREAD, *, kind: Kind = Kind.ITERATIVE
) -> wire.RoundEvent:
    record = wire.RoundRecord(
        migration_start_ns=started_ns,
        start_ns=time_ns - 5,
        end_ns=time_ns,
        round=number,
        kind=int(kind),
        visited_pages=5,
        normal_pages=5,
        dirty_pages=5,
    )
    return wire.RoundEvent(wire.EventHeader(time_ns, wire.EVENT_ROUND, tid=tid), record, wire.PageCounts())


def classified(number: int, time_ns: int, started_ns: int, tid: int = THREAD) -> wire.RoundEvent:
    """The same with the mode on: all of its pages are first ones."""
    event = ended(number, time_ns, started_ns, tid)
    event.record.flags, event.record.mode, event.record.first_pages = wire.ROUND_CLASSIFIED, 1, 5
    for column in ("visited_pages", "normal_pages", "first_pages"):
        setattr(event.counted, column, 5)
    return event


def toggle(time_ns: int, number: int, tid: int = THREAD) -> wire.ModeEvent:
    return wire.ModeEvent(wire.EventHeader(time_ns, wire.EVENT_MODE, tid=tid), number, 0, b"off", b"skip", b"xxh3-64")


def read(*events: wire.Wire) -> list[Event]:
    reader = PatchedReader(MAIN)
    return [event for given in events for event in reader.take(given) if not isinstance(event, SetUp)]


def kinds(events: Sequence[object]) -> list[str]:
    return [type(event).__name__ for event in events]


FIRST = (state("setup", 10, MAIN), state("active", 12), ended(1, 20, 11), ended(2, 30, 11))
CUT = (*FIRST, state("failed", 40))
AGAIN = (state("setup", 100, MAIN), state("active", 102, NEXT), ended(1, 110, 101, NEXT))


def test_the_last_round_of_a_failed_migration_is_its_own() -> None:
    events = read(*CUT, ended(3, 45, 11, MAIN), *AGAIN)
    assert kinds(events)[-6:] == [
        *("StateChanged", "RoundEnded", "RoundsComplete"),
        *("MigrationStarted", "StateChanged", "RoundEnded"),
    ]
    failed = next(event for event in events if isinstance(event, StateChanged) and event.state == "failed")
    assert failed.follows
    rounds = [event.round.round for event in events if isinstance(event, RoundEnded)]
    assert rounds == [1, 2, 3, 1]
    assert [event.partial for event in events if isinstance(event, MigrationStarted)] == [False, False]


def test_a_round_that_ends_after_a_thread_of_multifd_has_failed_it_is_not_the_last() -> None:
    cut = (*FIRST, state("failed", 40, 107))
    events = read(*cut, ended(3, 45, 11), ended(4, 50, 11, MAIN), ended(5, 60, 11, MAIN))
    assert kinds(events[-4:]) == ["StateChanged", "RoundEnded", "RoundEnded", "RoundsComplete"]
    events = read(*cut, ended(3, 45, 11, kind=Kind.SWITCHOVER), ended(4, 50, 11, MAIN))
    assert kinds(events[-3:]) == ["StateChanged", "RoundEnded", "RoundsComplete"]


def test_a_toggle_of_another_thread_begins_another_migration() -> None:
    """Its setup was not seen."""
    events = read(*CUT, ended(3, 45, 11, MAIN), toggle(50, 1, NEXT))
    assert [event.partial for event in events if isinstance(event, MigrationStarted)] == [False, True]


def test_it_is_so_while_the_next_one_is_set_up() -> None:
    setup, *rest = AGAIN
    events = read(*CUT, setup, ended(3, 101, 11, MAIN), *rest)
    assert [event.round.round for event in events if isinstance(event, RoundEnded)] == [1, 2, 3, 1]
    assert kinds(events).index("RoundsComplete") < kinds(events).index("MigrationStarted", 1)


def test_it_is_charged_to_no_other_when_the_next_one_runs() -> None:
    events = read(*CUT, *AGAIN, ended(3, 120, 11, MAIN), ended(2, 130, 101, NEXT))
    assert [event.round.round for event in events if isinstance(event, RoundEnded)] == [1, 2, 1, 2]


@pytest.mark.parametrize(
    "events",
    [
        [*CUT, ended(3, 45, 11, MAIN), ended(4, 46, 11, MAIN)],
        [state("setup", 10, MAIN), state("failed", 20), ended(1, 25, 11, MAIN)],
        [state("setup", 10, MAIN), state("cancelling", 15, MAIN), state("cancelled", 20, MAIN), ended(1, 25, 11, MAIN)],
        [ended(3, 45, 11, MAIN)],
        [*CUT, ended(3, 45, 11, MAIN), toggle(50, 3)],
    ],
    ids=["twice", "failed in the setup", "cancelled in the setup", "of one that was over before", "a toggle"],
)
def test_nothing_begins_a_migration_by_coming_late(events: list[wire.Wire]) -> None:
    starts = [event for event in read(*events) if isinstance(event, MigrationStarted)]
    assert len(starts) == (1 if events[0] is FIRST[0] else 0)


def test_a_toggle_after_the_end_is_of_the_one_that_ended() -> None:
    events = read(*CUT, toggle(41, 3), ended(3, 45, 11, MAIN))
    assert kinds(events[-3:]) == ["ModeChanged", "RoundEnded", "RoundsComplete"]


@pytest.mark.parametrize(
    ("events", "follows"),
    [
        ([*FIRST, ended(3, 35, 11, kind=Kind.SWITCHOVER), state("failed", 40)], False),
        ([*FIRST, state("device", 31), state("failed", 40)], True),
        ([*FIRST, state("postcopy-active", 31), state("failed", 40)], False),
        ([*FIRST, state("cancelling", 35, MAIN), ended(3, 38, 11, MAIN), state("cancelled", 40, MAIN)], False),
        ([*FIRST, ended(3, 35, 11, kind=Kind.SWITCHOVER), state("completed", 40)], False),
        ([*FIRST[:2], state("failed", 40)], True),
    ],
    ids=["after the switchover's round", "in the switchover", "in postcopy", "cancelled", "completed", "in round 1"],
)
def test_what_is_known_to_be_the_last_round_is_not_waited_for(events: list[wire.Wire], follows: bool) -> None:
    [last] = [event for event in read(*events) if isinstance(event, StateChanged)][-1:]
    assert last.follows is follows


def test_an_end_and_a_setup_that_were_not_seen() -> None:
    """Events may be lost: rounds alone say that it is another migration."""
    events = read(*FIRST, ended(4, 220, 201, NEXT))
    assert [event.partial for event in events if isinstance(event, MigrationStarted)] == [False, True]


# ---- the observer: what it waits for, and for how long


class Given:
    """A trace of the level patched; its reports are those that are given, and empty then."""

    def __init__(self, records: Sequence[TraceRecord], reports: Sequence[dict[str, Any]], reported_ns: int = 1) -> None:
        self.records = list(records)
        self.reports = list(reports)
        self.reported_ns = reported_ns

    def open(self) -> Subject:
        return Subject("web", Level.PATCHED, "1 2", {"tgid": MAIN})

    def poll(self, timeout: float) -> Sequence[TraceRecord]:
        return [self.records.pop(0)]

    def report(self, state: str) -> TraceRecord:
        report = self.reports.pop(0) if self.reports else {}
        return TraceRecord(self.reported_ns, Channel.REPORT, json.dumps(report).encode())

    def look_up_limits(self) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


class Sunk:
    """A sink that notes what it is told."""

    def __init__(self) -> None:
        self.over: list[Migration] = []
        self.batches: list[tuple[str, int]] = []

    def started(self, migration: Migration) -> None:
        """Nothing."""

    def changed(self, migration: Migration, event: Event) -> None:
        """Nothing."""

    def pages(self, migration: Migration, batch: PageBatch) -> None:
        self.batches.append((migration.migration_id, batch.round))

    def ended(self, migration: Migration) -> None:
        self.over.append(migration)


def records(*events: wire.Wire) -> list[TraceRecord]:
    return [TraceRecord(int(event.header.time_ns), Channel.EVENT, bytes(event)) for event in events]


def tick(time_ns: int) -> TraceRecord:
    return TraceRecord(time_ns, Channel.TICK)


def pages(time_ns: int, number: int, count: int = 0, block: bytes = b"pc.ram") -> TraceRecord:
    raw = bytes(wire.BatchEvent(wire.EventHeader(time_ns, wire.EVENT_BATCH, tid=THREAD), number, count, block))
    return TraceRecord(time_ns, Channel.PAGES, raw + bytes(count * wire.PAGE_RECORD.itemsize))


def observe(given: Sequence[TraceRecord], *reports: dict[str, Any], close: bool = True) -> tuple[Observer, Sunk]:
    sink = Sunk()
    trace = Given(given, reports)
    observer = Observer(trace, [sink])
    observer.attach()
    observer.run(lambda: not trace.records)
    if close:
        observer.close()
    return observer, sink


def numbers(migration: Migration) -> list[int]:
    return [each.round for each in migration.rounds]


FAILED = {"status": "failed"}


def test_a_failed_migration_ends_with_its_last_round_and_the_pages_of_it() -> None:
    late = [pages(44, 3), *records(ended(3, 45, 11, MAIN))]
    observer, sink = observe([*records(*CUT), *late, *records(*AGAIN)], FAILED)
    first, second = observer.migrations
    assert (numbers(first), numbers(second)) == ([1, 2, 3], [1])
    assert sink.batches == [(first.migration_id, 3)]
    assert not first.lacks_round
    assert (first.valid, observer.valid) == (None, False)
    assert not second.partial


def test_page_records_are_counted_by_ram_block_of_their_own_migration() -> None:
    late = [pages(44, 3, 3), pages(44, 3, 2, b"vga.vram"), *records(ended(3, 45, 11, MAIN))]
    observer, _ = observe([*records(*CUT), *late, *records(*AGAIN), pages(112, 1, 4)], FAILED)
    first, second = observer.migrations
    assert first.block_visits.of(first.rounds[2]) == {"pc.ram": 3, "vga.vram": 2}
    assert first.block_visits.of(first.rounds[1]) is None
    assert second.block_visits.of(second.rounds[0]) is None, "a record is missing"


@pytest.mark.parametrize(
    "then",
    [records(*AGAIN), [tick(40 + int((LAST_ROUND_SECONDS + 1) * SECOND))], [TraceRecord(60, Channel.GONE)], []],
    ids=["another begins", "time passes", "QEMU ends", "the observer leaves"],
)
def test_one_whose_last_round_never_comes_says_so(then: list[TraceRecord]) -> None:
    _, waiting = observe([*records(*CUT), tick(50)], FAILED, close=False)
    assert waiting.over == []
    observer, sink = observe([*records(*CUT), tick(50), *then], FAILED)
    first = sink.over[0]
    assert numbers(first) == [1, 2]
    assert (first.lacks_round, first.valid, observer.valid) == (True, False, False)
    assert "it ended without its last round" in first.reasons


def test_one_that_failed_in_its_setup_lacks_no_round() -> None:
    """Its mode was adopted, and there it ended: before the bitmaps, or with a round that has no pages."""
    failed = [state("setup", 10, MAIN), toggle(11, 0), state("failed", 12)]
    over = tick(20 + int(LAST_ROUND_SECONDS * SECOND))
    _, sink = observe([*records(*failed), over], FAILED)
    assert [(each.lacks_round, each.valid, numbers(each)) for each in sink.over] == [(False, None, [])]
    _, sink = observe([*records(*failed, ended(1, 13, 11, MAIN)), over], FAILED)
    assert [(each.lacks_round, each.valid, numbers(each)) for each in sink.over] == [(False, None, [1])]
    _, sink = observe([*records(*failed[:2], state("active", 12), state("failed", 13)), over], FAILED)
    assert [(each.lacks_round, each.valid) for each in sink.over] == [(True, False)]


def test_a_round_that_comes_after_that_is_nobodys() -> None:
    long_after = 40 + int((LAST_ROUND_SECONDS + 1) * SECOND)
    late = [pages(long_after + 1, 3), *records(ended(3, long_after + 2, 11, MAIN))]
    observer, sink = observe([*records(*CUT), tick(long_after), *late])
    assert len(observer.migrations) == len(sink.over) == 1
    assert sink.batches == []


def test_totals_of_the_next_migration_are_not_held_against_the_last() -> None:
    late = records(ended(3, 45, 11, MAIN))
    active = {"status": "active", "ram": {"normal": 3, "duplicate": 0}}
    observer, _ = observe([*records(*CUT), *late, *records(*AGAIN)], active)
    first = observer.migrations[0]
    assert first.report == {}
    assert first.totals is not None
    assert first.totals.outcome is Outcome.UNCHECKED
    assert "active again" in first.totals.reason


@pytest.mark.parametrize(
    ("then", "expected"),
    [
        ([*records(state("setup", 60, MAIN), state("failed", 65)), tick(90)], (Outcome.UNCHECKED, None)),
        ([*records(state("setup", 60, MAIN)), TraceRecord(61, Channel.GONE)], (Outcome.UNCHECKED, None)),
        ([tick(70), *records(state("setup", 80, MAIN)), tick(90)], (Outcome.MISSING, False)),
        ([tick(90)], (Outcome.MISSING, False)),
        ([], (Outcome.MISSING, False)),
    ],
    ids=["failed before the answer", "and was the last", "after the answer", "no other", "the observer leaves"],
)
def test_totals_of_one_that_failed_as_well_are_not_held_against_the_last(
    then: list[TraceRecord], expected: tuple[Outcome, bool | None]
) -> None:
    """The state is the same: that another one was set up before QEMU answered is seen after its answer."""
    cut = [*FIRST[:2], classified(1, 20, 11), state("failed", 40), classified(2, 45, 11, MAIN)]
    report = {"status": "failed", "fake-dirty": {"first": 0, "changed": 0, "fake": 0}}
    trace = Given([*records(*cut), *then], [report], reported_ns=69)
    observer = Observer(trace, [])
    observer.attach()
    observer.run(lambda: not trace.records)
    observer.close()
    [migration] = observer.migrations
    assert migration.totals is not None
    assert (migration.totals.outcome, migration.valid) == expected
    assert not migration.lacks_round


def test_pages_from_before_a_migration_are_none_of_its() -> None:
    _, sink = observe([*records(*CUT, ended(3, 45, 11, MAIN), *AGAIN), pages(50, 3), pages(111, 2)])
    assert [number for _, number in sink.batches] == [2]


def test_a_qemu_that_ends_after_the_last_round_lacks_none() -> None:
    over = [*FIRST, ended(3, 35, 11, kind=Kind.SWITCHOVER), state("postcopy-active", 36)]
    observer, _ = observe([*records(*over), TraceRecord(60, Channel.GONE)])
    [migration] = observer.migrations
    assert (migration.state, migration.lacks_round, migration.valid) == ("failed", False, None)


# ---- the history that is read by QMP


def entry(number: int, kind: str = "iterative") -> dict[str, Any]:
    counts = dict.fromkeys(
        (
            *("dirty", "forced", "visited", "normal", "zero", "xbzrle", "unchanged", "skipped", "left", "hinted"),
            *("transferred", "saved", "hash-time", "forced-syncs"),
        ),
        0,
    )
    times = {"start": 10 * number, "end": 10 * number + 9}
    return {"round": number, "kind": kind, "mode": "off", "hash": "xxh3-64", **times, **counts}


def history(start: int, *entries: dict[str, Any]) -> dict[str, Any]:
    return {"migration-start": start, "dropped": 0, "rounds": list(entries)}


LOOK = 10**8


def looks(*seen: tuple[str, dict[str, Any]]) -> list[Event]:
    reader = HistoryReader()
    given = [("none", history(0)), *seen]
    return [
        event
        for number, (status, told) in enumerate(given, 1)
        for event in reader.take(number * LOOK, {"status": status}, told)
    ]


def test_a_last_round_that_the_history_has_later() -> None:
    two = [entry(1, "bulk"), entry(2)]
    events = looks(
        ("active", history(5, *two[:1])), ("failed", history(5, *two)), ("failed", history(5, *two, entry(3)))
    )
    assert kinds(events[-4:]) == ["RoundEnded", "StateChanged", "RoundEnded", "RoundsComplete"]
    again = looks(("active", history(5, *two)), ("failed", history(5, *two)), ("active", history(7)))
    assert kinds(again[-2:]) == ["MigrationStarted", "StateChanged"]
    assert "RoundsComplete" not in kinds(again)


def test_a_history_that_stays_as_it_is_was_complete() -> None:
    two = [entry(1, "bulk"), entry(2)]
    events = looks(("active", history(5)), ("failed", history(5, *two)), ("failed", history(5, *two)))
    assert kinds(events[-2:]) == ["StateChanged", "RoundsComplete"]
    assert isinstance(events[-2], StateChanged)
    assert events[-2].follows


def test_nothing_is_looked_for_after_a_switchover_or_a_cancel() -> None:
    whole = [entry(1, "bulk"), entry(2, "switchover")]
    for status, rounds in (("failed", whole), ("completed", whole), ("cancelled", whole[:1])):
        last = looks(("active", history(5)), (status, history(5, *rounds)))[-1]
        assert isinstance(last, StateChanged)
        assert not last.follows


def test_one_that_is_left_while_it_runs_is_unchecked_and_no_fault() -> None:
    observer, sink = observe(records(*FIRST))
    assert (sink.over[0].valid, observer.valid) == (None, True)
    observer, sink = observe([*records(*FIRST), TraceRecord(60, Channel.GONE)])
    assert (sink.over[0].valid, observer.valid) == (False, False)


def test_one_whose_end_was_overtaken_by_the_next_is_unchecked_and_does_not_pass() -> None:
    def look(number: int, status: str, told: dict[str, Any]) -> TraceRecord:
        answers = {"query-migrate": {"status": status}, "query-fake-dirty-rounds": told}
        return TraceRecord(number * LOOK, Channel.ANSWERS, json.dumps(answers).encode())

    class Looked(Given):
        def open(self) -> Subject:
            return Subject("web", Level.QMP, "1 2")

    for then in (look(3, "active", history(2 * LOOK)), look(3, "setup", history(0))):
        begun = [look(1, "none", history(0)), look(2, "active", history(LOOK, entry(1, "bulk")))]
        trace = Looked([*begun, then], [])
        observer = Observer(trace, [])
        observer.attach()
        observer.run(lambda trace=trace: not trace.records)  # type: ignore[misc]
        first = observer.migrations[0]
        assert first.totals is not None
        assert (first.valid, first.totals.outcome, observer.valid) == (None, Outcome.UNCHECKED, False)


def test_a_last_round_that_the_history_has_soon_is_not_waited_for_any_longer() -> None:
    """A millisecond after the end; 50 ms would have been waited for it."""
    reader = HistoryReader()
    one, two = history(10, entry(1, "bulk")), history(10, entry(1, "bulk"), entry(2))
    given = [(1, "active", one), (LOOK, "failed", one), (LOOK + SECOND // 1000, "failed", two)]
    *_, last = ([*reader.take(time_ns, {"status": status}, told)] for time_ns, status, told in given)
    assert kinds(last) == ["RoundEnded", "RoundsComplete"]


def test_after_postcopy_no_round_is_waited_for_in_the_history() -> None:
    one = history(10, entry(1, "bulk"))
    events = looks(("active", one), ("postcopy-active", one), ("failed", one))
    [*_, last] = [event for event in events if isinstance(event, StateChanged)]
    assert (last.state, last.follows) == ("failed", False)
