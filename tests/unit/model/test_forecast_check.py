"""Forecasts that do not come true are withdrawn, and an assumed limit is named."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from fakedirty.export.exporter import Exporter
from fakedirty.format.sentences import in_words
from fakedirty.model import live_forecast
from fakedirty.model.enums import Level
from fakedirty.model.events import LimitsRead, MigrationStarted, RoundEnded, StateChanged
from fakedirty.model.forecast import Estimate, Forecast
from fakedirty.model.forecast_check import ForecastCheck
from fakedirty.model.migration import Migration
from fakedirty.model.prediction import predict
from fakedirty.model.round import Round
from fakedirty.model.trace import Channel, Subject, TraceRecord
from fakedirty.observe.decode.reader import LimitsReader
from fakedirty.observe.observer import Observer
from fakedirty.record.manifest import Clock
from fakedirty.record.recorder import Recorder
from fakedirty.record.restore import restore
from fakedirty.web.ui.documents import details
from fakedirty.web.ui.live_migrations import LiveMigration
from hypothesis import given
from hypothesis import strategies as st
from made_migrations import SECOND, START, made
from metrics_text import exported
from played_guests import Guest, played

SMALL = Guest(6_000, changed=0.9, limit=0.02)  # 197 ms of sending: within QEMU's default, and not within its limit
SILENT = Guest(65_000, changed=0.08)
CLOCK = Clock(1_700_000_000 * SECOND, START)


def went(rounds: Iterable[Round], limit_ms: int | None = None) -> Migration:
    """A migration that has applied these rounds."""
    migration = made()
    if limit_ms is not None:
        migration.apply(LimitsRead(START, limit_ms))
    for each in rounds:
        migration.apply(ended(each))
    return migration


def ended(each: Round) -> RoundEnded:
    return RoundEnded(START + round((each.start_seconds + each.duration_seconds) * SECOND), each)


def words(migration: Migration) -> str:
    found = migration.forecast
    assert found is not None
    return in_words(found)


def test_an_assumed_limit_is_named_and_for_which_limits_it_holds() -> None:
    rounds, _ = played(SMALL, 3)
    assert "if the limit is QEMU's default of 300 ms, or any above 19" in words(went(rounds))  # 197 ms
    rounds, _ = played(SILENT, 4)
    assert "does not converge if the limit is QEMU's default of 300 ms, but above 2.2 s:" in words(went(rounds))
    assert "if the limit is above 19" in words(went(rounds)), "with skip: 193 ms"
    assert "if the limit" not in words(went(rounds, limit_ms=300))
    assert "no longer than 300 ms" in words(went(rounds, limit_ms=300))


def test_nothing_but_the_limit_makes_it_assumed() -> None:
    """QEMU's default is a limit like any other where QEMU has reported it."""
    rounds, _ = played(SMALL, 3)
    known, assumed = went(rounds, limit_ms=300).forecast, went(rounds).forecast
    assert known
    assert assumed
    assert not known.limit_assumed
    assert assumed.limit_assumed
    assert (known.as_is, known.with_skip) == (assumed.as_is, assumed.with_skip)


@given(st.integers(2_000, 120_000), st.floats(0.05, 0.99), st.sampled_from([62.5e6, 125e6, 1.25e9]))
def test_the_least_limit_is_where_the_end_begins(pages: int, changed: float, rate: float) -> None:
    """Held against guests that are played with limits above and below it."""
    guest = Guest(pages, changed, sweep=1e-9, rate=rate, limit=1e-6)
    rounds, total = played(guest, 3)
    assert total is None
    found = predict(rounds)
    assert found
    for plan in (found.as_is, found.with_skip):
        assert plan.least_limit_seconds is not None
        least = plan.least_limit_seconds.expected
        for limit, converges in ((0.9 * least, False), (1.1 * least, True)):
            again = predict(rounds, limit)
            assert again
            assert (again.as_is if plan is found.as_is else again.with_skip).converges is converges


def test_a_limit_that_nobody_knew_refutes_the_verdict() -> None:
    """All sockets were held, the real limit is 20 ms: seventy rounds of "it converges"."""
    rounds, total = played(SMALL, 70)
    assert total is None
    migration, exporter = made(), Exporter()
    exporter.started(migration)
    refuted_after = []
    for each in rounds:
        migration.apply(ended(each))
        exporter.changed(migration, ended(each))
        if migration.refuted:
            refuted_after.append(each.round)
    assert refuted_after
    assert refuted_after == list(range(refuted_after[0], 71)), "what is withdrawn stays so"
    assert refuted_after[0] <= 12
    assert "It was expected to end after 4." in words(migration)
    assert "and has not: this verdict is withdrawn" in words(migration)
    assert "assumed to be 300 ms" in words(migration)
    assert "converges" not in words(migration)
    text = exported(exporter)
    assert 'fakedirty_verdict_refuted{vm="vm"} 1' in text
    assert 'fakedirty_verdict_unchanged_ratio{vm="vm"}' in text
    for forecast in ("converges", "total_time_seconds", "downtime_seconds", "least_limit_seconds"):
        assert f"fakedirty_verdict_{forecast}{{" not in text
    page = details(migration, LiveMigration(migration, CLOCK))
    assert page["verdict"] == words(migration)
    assert not [name for name, _ in page["verdict_numbers"] if "skip" in name]


def test_before_it_is_refuted_it_is_exported_with_its_limit() -> None:
    rounds, _ = played(SMALL, 2)
    exporter, migration = Exporter(), went(rounds)
    exporter.started(migration)
    text = exported(exporter)
    assert 'fakedirty_verdict_converges{plan="as-is",vm="vm"} 1.0' in text
    assert 'fakedirty_verdict_limit_seconds{source="assumed",vm="vm"} 0.3' in text
    assert 'fakedirty_verdict_refuted{vm="vm"} 0' in text
    migration.apply(LimitsRead(START + 5 * SECOND, 300))
    assert 'fakedirty_verdict_limit_seconds{source="qemu",vm="vm"} 0.3' in exported(exporter)


def test_a_round_that_does_not_end_refutes_it_too() -> None:
    """The link stands still: time passes, and a later scrape does not report any more that it converges."""
    rounds, _ = played(SMALL, 3)
    exporter, migration = Exporter(), went(rounds, limit_ms=300)
    exporter.started(migration)
    migration.tick(START + 5 * SECOND)
    assert not migration.refuted
    stamp = LiveMigration(migration, CLOCK).stamp
    assert 'fakedirty_verdict_converges{plan="as-is",vm="vm"} 1.0' in exported(exporter)
    migration.tick(START + 60 * SECOND)
    assert migration.refuted
    assert LiveMigration(migration, CLOCK).stamp != stamp
    assert 'fakedirty_verdict_converges{plan="as-is",vm="vm"}' not in exported(exporter)
    assert "The guest, the link or the limit is not what it was." in words(migration)


@pytest.mark.parametrize("state", ["pre-switchover", "device", "postcopy-active", "completed", "cancelled"])
def test_time_that_is_not_spent_on_rounds_refutes_nothing(state: str) -> None:
    """A manager that waits before the switchover, devices, postcopy, and what is over."""
    migration = went(played(SMALL, 3)[0], limit_ms=300)
    migration.apply(StateChanged(START + 5 * SECOND, state))
    migration.tick(START + 60 * SECOND)
    assert not migration.refuted


def test_a_limit_that_becomes_known_late_begins_anew() -> None:
    rounds, _ = played(SMALL, 30)
    migration = went(rounds)
    assert migration.refuted
    migration.apply(LimitsRead(START + 60 * SECOND, 20))
    assert not migration.refuted
    assert "does not converge: each round leaves 6,000 dirty pages" in words(migration)
    migration.apply(LimitsRead(START + 60 * SECOND, 300))
    assert not migration.refuted, "nothing was predicted by this limit yet"
    assert "it converges" in words(migration) or "it probably converges" in words(migration)


def predicting(end: float | None, after: int = 2) -> Forecast:
    """One that expects the end at that time, or none."""
    found = predict(played(SMALL, 3)[0], 0.3)
    assert found
    total = None if end is None else Estimate(end - 0.1, end, end + 0.1)
    plan = replace(found.as_is, converges=total is not None, total_seconds=total)
    return replace(found, as_is=plan, after_round=after)


def refuted_at(ends: Mapping[float, float | None]) -> float | None:
    """When the verdicts, by the time at which each was made, are refuted first."""
    forecast = ForecastCheck()
    for now, end in ends.items():
        forecast.take(predicting(end), now, "a limit")
        if forecast.refutation(predicting(end), now) is not None:
            return now
    return None


def test_an_end_that_is_put_off_again_and_again_is_refuted() -> None:
    """Every verdict is made anew, and each expects the end in ten seconds."""
    found = refuted_at({float(now): now + 10 for now in range(5, 100)})
    assert found is not None
    assert found < 40


def test_an_end_that_comes_and_goes_is_refuted() -> None:
    found = refuted_at({float(now): now + 10 if now % 2 else None for now in range(5, 200)})
    assert found is not None
    assert found < 60


def test_what_is_put_off_in_time_is_a_better_prediction() -> None:
    """After round 2 a guest that gets around slowly looks as if it were to end at once."""
    assert refuted_at({5: 12, 9: 40, 20: 41, 30: 42, 39: 42, 42: 43}) is None
    assert refuted_at({5: 12, 9: None, 20: None, 60: None, 70: None, 80: 82}) is None, "taken back in time"
    assert refuted_at({5: 12, 12: 14, 14: 16, 25: 27}) == 25, "too late: that one had been wrong"


def test_a_verdict_without_an_end_is_not_withdrawn_for_an_end_before() -> None:
    assert refuted_at({5: 12, 12: 14, 30: None}) is None
    assert refuted_at({5: 12, 12: 14, 30: None, 31: 33}) == 31
    assert refuted_at({5: 12, 12: 14, 30: None, 31: None, 32: None, 33: 35}) is None, "it had seen that there was none"


@pytest.mark.parametrize("reads", [0, 1, 9])
def test_a_verdict_counts_once_however_often_the_limit_is_read(reads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """One without an end, while the limit is read every five seconds; the next one has an end, but too late."""
    verdicts = [None, *(predicting(end, after) for after, end in enumerate((6.0, 7.0, None, 40.0), 1))]
    monkeypatch.setattr(live_forecast, "predict", lambda rounds, *_: verdicts[len(rounds)])
    migration, each = made(), played(SMALL, 1)[0][0]
    migration.apply(LimitsRead(START, 20))
    for number, now in enumerate((4, 6, 20, 30), 1):
        migration.apply(ended(replace(each, round=number, start_seconds=now - each.duration_seconds)))
        for read in range(reads):
            migration.apply(LimitsRead(START + (now + read) * SECOND, 20))
    assert migration.refuted


@given(st.integers(2_000, 60_000), st.floats(0.01, 0.99), st.floats(0.5, 12.0), st.sampled_from([62.5e6, 125e6]))
def test_what_comes_true_is_never_withdrawn(pages: int, changed: float, sweep: float, rate: float) -> None:
    """Guests that come around slowly, whose first verdicts are off: none that ends is refuted on the way."""
    guest = Guest(pages, changed, sweep=sweep, rate=rate)
    rounds, total = played(guest, 200)
    if total is None:
        return
    migration = made()
    migration.apply(LimitsRead(START, 300))
    for each in rounds:
        migration.apply(ended(each))
        assert not migration.refuted


def test_an_end_that_was_not_expected_is_reported() -> None:
    migration = went(played(SILENT, 5)[0], limit_ms=300)
    assert "does not converge" in words(migration)
    migration.apply(StateChanged(START + 60 * SECOND, "completed"))
    assert words(migration).startswith("It was expected not to converge, and it has.")


def test_postcopy_refutes_nothing() -> None:
    """It ends because the guest was moved, not because it converged."""
    migration = went(played(SILENT, 5)[0], limit_ms=300)
    for state in ("postcopy-active", "completed"):
        migration.apply(StateChanged(START + 60 * SECOND, state))
    assert "does not converge" in words(migration)


def test_a_refutation_is_recorded_and_shown_again(tmp_path: Path) -> None:
    migration, recorder = made(), Recorder(tmp_path, "run", clock=lambda: CLOCK)
    recorder.started(migration)
    for each in played(SMALL, 40)[0]:
        migration.apply(ended(each))
        recorder.changed(migration, ended(each))
    migration.apply(StateChanged(START + 60 * SECOND, "cancelled"))
    recorder.ended(migration)
    summary = json.loads((recorder.directories[0] / "migration.json").read_text())
    assert summary["verdict"]["limit_assumed"] is True
    assert summary["verdict"]["refuted"]["total_seconds"]["expected"] == pytest.approx(4.6, abs=0.5)
    assert words(restore(recorder.directories[0])) == words(migration)
    for name in ("limit_assumed", "switchover_rate", "refuted"):  # as it was before they were recorded
        del summary["verdict"][name]
    (recorder.directories[0] / "migration.json").write_text(json.dumps(summary))
    assert restore(recorder.directories[0]).forecast is not None
    assert not restore(recorder.directories[0]).refuted


def test_qemu_decides_by_the_rate_that_it_was_given() -> None:
    """avail-switchover-bandwidth: what is left is held against the limit at another rate than it is sent at."""
    rounds, _ = played(SILENT, 4)
    plain, fast, slow = (predict(rounds, 0.3, rate) for rate in (None, 125e7, 125e5))
    assert plain
    assert fast
    assert slow
    assert not plain.as_is.converges
    assert fast.as_is.converges
    assert fast.as_is.downtime_seconds
    assert fast.as_is.downtime_seconds.expected > 2, "the guest is stopped for as long as it takes"
    assert plain.with_skip.converges
    assert not slow.with_skip.converges
    assert slow.as_is.least_limit_seconds
    assert plain.as_is.least_limit_seconds
    ratio = slow.as_is.least_limit_seconds.expected / plain.as_is.least_limit_seconds.expected
    assert ratio == pytest.approx(10, rel=0.05)


@pytest.mark.parametrize(("answer", "rate"), [({}, None), ({"avail-switchover-bandwidth": 0}, None),
                                              ({"avail-switchover-bandwidth": 5}, 5)])  # fmt: skip
def test_the_rate_is_read_with_the_limit(answer: dict[str, int], rate: int | None) -> None:
    class Nothing:
        def take(self, record: TraceRecord) -> Iterable[object]:
            return ()

    record = TraceRecord(1, Channel.LIMITS, json.dumps({"downtime-limit": 40} | answer).encode())
    assert list(LimitsReader(Nothing()).take(record)) == [LimitsRead(1, 40, rate)]  # type: ignore[arg-type]


def test_time_passes_by_the_ticks_of_a_trace() -> None:
    """So that a replay withdraws what was withdrawn when it ran."""

    class Ticks:
        """A trace whose reader begins a migration, and then has nothing but the time."""

        def open(self) -> Subject:
            return Subject("vm", Level.QMP, "1 2")

        def look_up_limits(self) -> None: ...

        def look_up_arrival(self) -> None: ...

        def close(self) -> None: ...

    found = Observer(Ticks(), [])  # type: ignore[arg-type]
    found.attach()
    found._take(MigrationStarted(START))
    for each in played(SMALL, 3)[0]:
        found._take(ended(each))
    assert not found.migrations[-1].refuted
    found._take_record(TraceRecord(START + 60 * SECOND, Channel.TICK))
    assert found.migrations[-1].refuted
