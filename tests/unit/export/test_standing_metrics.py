"""Metrics of where a migration stands: progress, time left, stall and dirty rates; absent where they are not known."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from fakedirty.export.exporter import Exporter
from fakedirty.model.enums import Mode
from fakedirty.model.events import LimitsRead, ModeChanged, StateChanged
from fakedirty.model.migration import Migration
from played_guests import played
from running_migrations import ENDING, STUCK, at, events, running

Values = dict[tuple[str, ...], float]


def exported(migration: Migration, exporter: Exporter, name: str) -> Values:
    """The values of one metric of its VM, by the values of its other labels."""
    return {
        tuple(value for label, value in sample.labels.items() if label != "vm"): sample.value
        for family in exporter.collect()
        for sample in family.samples
        if sample.name == f"fakedirty_{name}"
    }


@pytest.fixture
def to() -> Exporter:
    return Exporter(lambda: datetime(2026, 1, 1, tzinfo=UTC))


def test_a_time_left_counts_down_between_scrapes(to: Exporter) -> None:
    migration = running(ENDING, 3, [to])
    total = migration.progress.total_seconds
    assert total is not None
    before = exported(migration, to, "time_left_seconds")
    assert set(before) == {("low",), ("expected",)}, "there is no end at worst"
    assert before["expected",] == pytest.approx(total.expected - migration.progress.elapsed_seconds)
    ratio = exported(migration, to, "progress_ratio")[()]
    migration.tick(at(7.5))
    assert exported(migration, to, "time_left_seconds")["expected",] == pytest.approx(total.expected - 7.5)
    assert exported(migration, to, "progress_ratio")[()] > ratio
    migration.tick(at(total.expected + 1))
    assert exported(migration, to, "time_left_seconds") == {("low",): 0, ("expected",): 0}


def test_one_that_has_completed_is_done_and_has_no_time_left(to: Exporter) -> None:
    migration = running(ENDING, 3, [to])
    event = StateChanged(at(8.0), "completed")
    migration.apply(event)
    to.changed(migration, event)
    to.ended(migration)
    assert exported(migration, to, "progress_ratio") == {(): 1}
    assert exported(migration, to, "time_left_seconds") == {}


@pytest.mark.parametrize("name", ["progress_ratio", "time_left_seconds", "stalled_rounds"])
def test_after_one_round_nothing_is_known(name: str, to: Exporter) -> None:
    assert exported(running(ENDING, 1, [to]), to, name) == {}


@pytest.mark.parametrize(("rounds", "stalled"), [(2, None), (3, 0), (4, 0), (5, 3), (9, 7)])
def test_a_stall_has_its_rounds_and_none_is_0(rounds: int, stalled: int | None, to: Exporter) -> None:
    found = exported(running(STUCK, rounds, [to]), to, "stalled_rounds")
    assert found == ({} if stalled is None else {(): stalled})
    assert exported(running(STUCK, rounds, [to]), to, "time_left_seconds") == {}


def test_a_toggle_ends_a_stall(to: Exporter) -> None:
    migration = running(STUCK, 9, [to])
    event = ModeChanged(at(60.0), 10, Mode.OBSERVE, Mode.SKIP, "xxh3-64")
    migration.apply(event)
    to.changed(migration, event)
    assert migration.stretch is None
    assert exported(migration, to, "stalled_rounds") == {}


def test_in_postcopy_there_is_no_stall(to: Exporter) -> None:
    """The guest has left: its alert was to be answered so."""
    migration = running(STUCK, 9, [to])
    assert exported(migration, to, "stalled_rounds") == {(): 7}
    for event in (StateChanged(at(60.0), "postcopy-active"), *events(played(STUCK, 10)[0][9:])):
        migration.apply(event)
        assert exported(migration, to, "stalled_rounds") == {}


def test_rates_of_vcpus_are_those_that_qemu_measures(to: Exporter) -> None:
    migration = running(STUCK, 2, [to])
    assert exported(migration, to, "vcpu_dirty_rate_bytes_per_second") == {}
    migration.apply(LimitsRead(at(7.0), 300, vcpu_rates={index: index << 20 for index in range(100)}))
    rates = exported(migration, to, "vcpu_dirty_rate_bytes_per_second")
    assert len(rates) == 64
    assert rates["2",] == 2_097_152


def test_rates_are_by_block_where_there_are_page_records(to: Exporter) -> None:
    migration = running(STUCK, 6, [to])
    assert exported(migration, to, "dirty_rate_pages_per_second") == {(): pytest.approx(26_660, abs=1)}
    assert exported(migration, to, "block_dirty_rate_pages_per_second") == {}
    visited = migration.rounds[5].visited_pages
    assert visited == 52_437
    migration.block_visits.take(6, "pc.ram", visited - 437)
    migration.block_visits.take(6, "vga.vram", 437)
    migration.tick(at(20.0))
    rates = exported(migration, to, "block_dirty_rate_pages_per_second")
    assert rates["pc.ram",] == pytest.approx(26_660 * 52_000 / 52_437, abs=1)
    assert sum(rates.values()) == pytest.approx(26_660, abs=1)
