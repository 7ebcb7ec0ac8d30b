"""The observer, fed with traces that nothing made: what it makes of them does not depend on when they are read."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from fakedirty.model.enums import Level
from fakedirty.model.events import Event
from fakedirty.model.migration import Migration
from fakedirty.model.sink import PageBatch
from fakedirty.model.trace import Channel, Subject, TraceRecord
from fakedirty.observe.decode import wire
from fakedirty.observe.observer import KEPT, Observer

FACTS = {"states": ["completed"], "sees_xbzrle": True, "can_skip": False, "sample": 1, "blocks": []}
SUBJECT = Subject("web", Level.STOCK, "1 2", FACTS)
STATE_COMPLETED = 0


class Told:
    """A trace that is handed over in the given pieces; QEMU's reports are those of :func:`whole`, if none is given."""

    def __init__(
        self,
        *pieces: Sequence[TraceRecord],
        reported_ns: int = 0,
        report: bytes | None = None,
        subject: Subject = SUBJECT,
    ) -> None:
        self.given = report
        self.subject = subject
        self.asked: list[str] = []
        self.pieces = list(pieces)
        self.reported_ns = reported_ns
        self.looks = 0
        self.arrivals = 0

    def open(self) -> Subject:
        """The subject."""
        return self.subject

    def poll(self, timeout: float) -> Sequence[TraceRecord]:
        """The next piece."""
        return self.pieces.pop(0)

    def report(self, state: str) -> TraceRecord:
        """The two pages of a whole migration."""
        self.asked.append(state)
        report = {"status": state, "ram": {"normal": 2, "duplicate": 0, "page-size": 4096}}
        return TraceRecord(self.reported_ns, Channel.REPORT, self.given or json.dumps(report).encode())

    def look_up_limits(self) -> None:
        """Count it: nobody answers."""
        self.looks += 1

    def look_up_arrival(self) -> None:
        """Count it: the answers are among the records."""
        self.arrivals += 1

    def close(self) -> None:
        """Nothing."""


def observer_of(*pieces: Sequence[TraceRecord]) -> Observer:
    """One that has heard it all."""
    trace = Told(*pieces)
    observer = Observer(trace, [])
    observer.attach()
    observer.run(lambda: not trace.pieces)
    observer.close()
    return observer


def observed(*pieces: Sequence[TraceRecord]) -> list[Migration]:
    return list(observer_of(*pieces).migrations)


def event(kind: int, time_ns: int, number: int = 0) -> TraceRecord:
    counts = wire.StockCounts(round=number, start_ns=time_ns - 1, first_pages=1, normal_pages=1)
    raw = wire.StockEvent(wire.EventHeader(time_ns, kind, tid=9), counts, STATE_COMPLETED)
    return TraceRecord(time_ns, Channel.EVENT, bytes(raw))


def whole(start_ns: int) -> list[TraceRecord]:
    """A migration of two rounds, that takes 30 ns."""
    return [
        event(wire.EVENT_STOCK_STARTED, start_ns),
        event(wire.EVENT_STOCK_ROUND, start_ns + 20, 1),
        event(wire.EVENT_STOCK_STATE, start_ns + 30, 2),
    ]


def loss(time_ns: int, count: int = 3) -> TraceRecord:
    return TraceRecord(time_ns, Channel.LOST, wire.pack_losses([count, 0, 0, 0]))


@pytest.mark.parametrize("pieces", [1, 2])
def test_a_loss_is_of_every_migration_that_had_begun_when_it_was_noticed(pieces: int) -> None:
    """A tracer tells losses before the events that it read with them, and knows no better where they belong."""
    late = [loss(200), *whole(100), *whole(150)]
    migrations = observed(late) if pieces == 1 else observed(late[:2], late[2:])
    assert [sum(migration.lost_events.values()) for migration in migrations] == [3, 3]
    assert not any(migration.valid for migration in migrations)
    assert migrations[0].rounds[0].lost_events == 3


def test_a_loss_between_two_migrations_is_of_neither() -> None:
    first, second = observed(whole(100), [loss(200)], whole(300))
    assert not first.lost_events
    assert not second.lost_events


def test_a_loss_in_the_middle_is_of_the_round_it_fell_into() -> None:
    start, bulk, end = whole(100)
    [migration] = observed([start], [loss(110)], [bulk], [end])
    assert [entry.lost_events for entry in migration.rounds] == [3, 0]
    assert migration.rounds[0].invalid_reason.endswith("3 events lost")


def test_of_many_migrations_the_last_ones_are_kept_and_whether_all_are_valid() -> None:
    start, bulk, end = whole(100)
    later = [record for number in range(1, KEPT + 9) for record in whole(1000 * number)]
    observer = observer_of([start, bulk, end, *later])
    assert (observer.seen, len(observer.migrations), observer.valid) == (KEPT + 9, KEPT, True)
    observer = observer_of([start, loss(110), bulk, end, *later])
    assert (observer.seen, observer.valid) == (KEPT + 9, False)
    assert all(migration.valid for migration in observer.migrations)


WAITING, STOPPING, RUNNING, PAUSED, SHUTDOWN = range(5)
RUN_STATES = ["inmigrate", "finish-migrate", "running", "paused", "shutdown"]


def peer(pid: int, vm: str, role: str, *, waiting: bool = False) -> TraceRecord:
    data = json.dumps({"pid": pid, "vm": vm, "role": role, "waiting": waiting, "states": RUN_STATES}).encode()
    return TraceRecord(1, Channel.PEER, data)


def runs(pid: int, time_ns: int, state: int) -> TraceRecord:
    raw = wire.RunStateEvent(wire.EventHeader(time_ns, wire.EVENT_RUNSTATE, tid=1), pid, state)
    return TraceRecord(time_ns, Channel.RUNSTATE, bytes(raw))


SOURCE = peer(1, "web", "source")


@pytest.mark.parametrize(
    ("others", "resumed"),
    [
        ([peer(2, "web", "destination")], 40),
        ([peer(2, "web-incoming", "destination")], 40),
        ([peer(2, "web", "destination"), peer(3, "db", "destination")], 40),
        ([peer(2, "one", "destination"), peer(3, "db", "destination")], None),
        ([peer(2, "web", "destination"), peer(3, "web", "destination")], None),
    ],
    ids=["by name", "the only one", "by name of several", "which of two", "two of one name"],
)
def test_downtime_from_outside_is_of_the_destination_that_it_must_be(
    others: list[TraceRecord], resumed: int | None
) -> None:
    start, bulk, end = whole(10)
    trace = [SOURCE, start, *others, bulk, runs(1, 32, STOPPING), end, runs(2, 40, RUNNING)]
    [migration] = observed([*trace, TraceRecord(5 * 10**9, Channel.TICK)])
    assert migration.stopped_ns == 32
    assert migration.resumed_ns == resumed
    assert migration.outside_downtime_ns == (None if resumed is None else 8)


def test_a_guest_that_ran_again_was_not_switched_over() -> None:
    start, bulk, end = whole(10)
    back = [runs(1, 32, STOPPING), runs(1, 33, RUNNING)]
    [migration] = observed([SOURCE, start, peer(2, "web", "destination"), bulk, *back, end])
    assert migration.stopped_ns is None


@pytest.mark.parametrize(
    ("states", "resumed"),
    [
        ([WAITING, RUNNING], [31]),
        ([PAUSED, RUNNING, PAUSED, RUNNING], [31]),
        ([PAUSED], [None]),
        ([SHUTDOWN, RUNNING], []),
    ],
    ids=["runs", "runs after a moment", "stays stopped", "waited in vain"],
)
def test_the_destination_of_a_migration_sees_its_guest_arrive(states: list[int], resumed: list[int | None]) -> None:
    told = [runs(1, 30 + number, state) for number, state in enumerate(states)]
    migrations = observed([peer(1, "web", "source", waiting=True), *told, TraceRecord(5 * 10**9, Channel.TICK)])
    assert [migration.resumed_ns for migration in migrations] == resumed
    for migration in migrations:
        assert migration.incoming
        assert (migration.state, migration.stopped_ns, migration.outside_downtime_ns) == ("completed", None, None)


def answer(seconds: float, status: str | None, **more: object) -> TraceRecord:
    """QEMU's report on an arrival, so many seconds after the trace begins."""
    report = more if status is None else {"status": status, **more}
    return TraceRecord(round(seconds * 10**9), Channel.ARRIVAL, json.dumps(report).encode())


def tick(seconds: float) -> TraceRecord:
    return TraceRecord(round(seconds * 10**9), Channel.TICK)


ARRIVES = [peer(1, "web", "source", waiting=True), runs(1, 30, RUNNING)]


@pytest.mark.parametrize(
    ("after", "ended", "looks", "report"),
    [
        ([tick(0.9)], False, 1, {}),
        ([tick(0.9), tick(1.1)], True, 1, {}),
        ([tick(0.5), answer(0.6, "completed", ram={"transferred": 7})], True, 1, {"ram": {"transferred": 7}}),
        ([answer(0.1, None)], True, 1, {}),
        ([answer(0.1, "postcopy-active"), tick(0.9)], False, 1, {}),
        ([answer(0.1, "postcopy-active"), tick(1.1), tick(1.5)], False, 2, {}),
        ([answer(0.1, "postcopy-active"), tick(1.1), answer(1.2, "failing"), tick(500)], False, 3, {}),
        (
            [answer(0.1, "postcopy-device"), tick(1.1), answer(1.2, "completed", **{"postcopy-latency": 900})],
            True,
            2,
            {"postcopy-latency": 900},
        ),
        ([answer(0.1, "postcopy-paused"), tick(601)], True, 1, {}),
        ([answer(0.1, "a-state-of-tomorrow"), tick(2)], False, 2, {}),
        ([answer(0.1, "postcopy-active"), TraceRecord(2 * 10**9, Channel.GONE)], True, 1, {}),
        ([answer(0.1, "postcopy-active"), *whole(3 * 10**9)[:1]], True, 1, {}),
    ],
    ids=[
        "not answered yet",
        "never answered",
        "completed",
        "no migration any more",
        "in postcopy",
        "read again",
        "failing is no end",
        "postcopy ended",
        "postcopy stays interrupted",
        "an unknown state is no end",
        "gone",
        "sent on",
    ],
)
def test_a_destination_is_reported_once_qemu_has_reported_its_end(
    after: list[TraceRecord], ended: bool, looks: int, report: dict[str, object]
) -> None:
    trace, ends = Told([*ARRIVES, *after]), Ends()
    observer = Observer(trace, [ends])
    observer.attach()
    observer.run(lambda: not trace.pieces)
    migration = observer.migrations[0]
    assert (ends.ended_at == [30], trace.arrivals) == (ended, looks)
    assert {name: value for name, value in migration.report.items() if name != "status"} == report
    assert (migration.state, migration.totals, migration.valid) == ("completed", None, True)
    observer.close()
    assert ends.ended_at[:1] == [30]


def test_a_guest_that_arrives_stopped_and_is_reported_is_awaited_for_a_second() -> None:
    trace, ends = Told([ARRIVES[0], runs(1, 30, PAUSED), answer(0.1, "completed"), tick(0.9)], [tick(1.1)]), Ends()
    observer = Observer(trace, [ends])
    observer.attach()
    observer.run(lambda: len(trace.pieces) == 1)
    assert not ends.ended_at
    observer.run(lambda: not trace.pieces)
    assert ends.ended_at == [None]


def test_an_answer_that_comes_after_the_end_is_of_no_migration() -> None:
    [migration] = observed([*ARRIVES, tick(1.1), answer(1.2, "completed", ram={"transferred": 7})])
    assert migration.report == {}


def test_a_guest_that_arrived_is_sent_on() -> None:
    first, second = observed([peer(1, "web", "source", waiting=True), runs(1, 5, RUNNING), *whole(10)])
    assert (first.incoming, second.incoming) == (True, False)
    assert len(second.rounds) == 2


def test_what_runs_already_waits_for_no_guest() -> None:
    assert not observed([SOURCE, runs(1, 30, PAUSED), runs(1, 31, RUNNING)])


class Ends:
    """A sink that notes when it is told of an end."""

    def __init__(self) -> None:
        self.ended_at: list[int | None] = []

    def started(self, migration: Migration) -> None:
        """Nothing."""

    def changed(self, migration: Migration, event: Event) -> None:
        """Nothing."""

    def pages(self, migration: Migration, batch: PageBatch) -> None:
        """Nothing."""

    def ended(self, migration: Migration) -> None:
        """Note."""
        self.ended_at.append(migration.resumed_ns)


@pytest.mark.parametrize("reported_ns", [41, 3 * 10**9], ids=["asked", "asked and kept waiting"])
@pytest.mark.parametrize(
    ("late", "told"),
    [
        ([], []),
        ([runs(2, 40, RUNNING)], [40]),
        ([runs(2, 40, PAUSED)], []),
        ([runs(2, 40, PAUSED), runs(2, 45, RUNNING), runs(2, 46, RUNNING)], [45]),
        ([runs(2, 40, PAUSED), TraceRecord(2 * 10**9, Channel.TICK)], [None]),
        ([TraceRecord(2 * 10**9, Channel.TICK)], [None]),
        ([TraceRecord(50, Channel.TICK)], []),
        ([event(wire.EVENT_STOCK_STARTED, 60)], [None]),
        ([TraceRecord(60, Channel.GONE)], [None]),
    ],
    ids=[
        "not yet",
        "running",
        "stopped",
        "stopped for a moment",
        "stays stopped",
        "waited long",
        "waited",
        "another migration",
        "gone",
    ],
)
def test_an_end_is_told_when_the_guest_has_arrived_or_not_in_time(
    late: list[TraceRecord], told: list[int | None], reported_ns: int
) -> None:
    start, bulk, end = whole(10)
    heard = [SOURCE, start, peer(2, "web", "destination"), bulk, runs(1, 32, STOPPING), end, *late]
    trace = Told(heard, reported_ns=reported_ns)
    ends = Ends()
    observer = Observer(trace, [ends])
    observer.attach()
    observer.run(lambda: not trace.pieces)
    assert ends.ended_at == told
    assert observer.migrations[0].state == "completed"
    observer.close()


def test_limits_are_looked_up_while_a_migration_runs() -> None:
    start, bulk, end = whole(100)
    limit = TraceRecord(110, Channel.LIMITS, b'{"downtime-limit": 42}')
    ticks = [TraceRecord(seconds * 10**9, Channel.TICK) for seconds in range(1, 26)]
    trace = Told([ticks[0]], [start], [limit], [*ticks], [bulk, end], ticks)
    observer = Observer(trace, [])
    observer.attach()
    observer.run(lambda: not trace.pieces)
    assert trace.looks == 5  # when it began, and after 6, 12, 18 and 24 seconds
    assert observer.migrations[0].downtime_limit_ms == 42


@pytest.mark.parametrize("said", [b"{}", b'{"downtime-limit": "no"}'])
def test_who_says_no_limit_has_none(said: bytes) -> None:
    start, bulk, end = whole(100)
    [migration] = observed([start, TraceRecord(110, Channel.LIMITS, said), bulk, end])
    assert migration.downtime_limit_ms is None
