"""Levels stock and usdt beside what else QEMU does: counted rightly, or nothing counted and said why."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakedirty.lab.qemu import qemu_binary
from fakedirty.model.enums import Level
from fakedirty.model.migration import Migration
from migrating import CRAWL, SLOW, Notes, capable, observed, pair, wait

LEVELS = pytest.mark.parametrize("level", [Level.STOCK, Level.USDT], ids=str)


def exact(migration: Migration, ram: dict[str, int]) -> None:
    assert migration.valid, [entry.invalid_reason for entry in migration.rounds]
    assert migration.total("normal_pages") == ram["normal"]
    assert migration.total("zero_pages") == ram["duplicate"]
    assert [entry.round for entry in migration.rounds] == list(range(1, ram["dirty-sync-count"] + 1))


@LEVELS
def test_mapped_ram(level: Level, tmp_path: Path) -> None:
    """ram_save_page is traced before the page goes to the file; the function of stock is not called."""
    notes = Notes()
    with pair(qemu_binary(), tmp_path) as vm, observed(vm.source, level, [notes]):
        capable(vm, "mapped-ram")
        vm.set(max_bandwidth=SLOW)
        vm.source.qmp.execute("migrate", uri=f"file:{tmp_path}/ram")
        vm.wait_for_syncs(1)
        ram = vm.converge()["ram"]
        wait(lambda: len(notes.over) == 1)
    [migration] = notes.over
    if level is Level.USDT:
        exact(migration, ram)
    else:
        assert "mapped-ram" in migration.rounds[0].invalid_reason
        assert migration.rounds[0].fake_pages is None


@LEVELS
def test_postcopy(level: Level, tmp_path: Path) -> None:
    notes = Notes()
    with pair(qemu_binary(), tmp_path) as vm, observed(vm.source, level, [notes]):
        capable(vm, "postcopy-ram")
        vm.migrate(max_bandwidth=SLOW, downtime_limit=1)
        vm.wait_for_syncs(3)
        vm.source.qmp.execute("migrate-start-postcopy")
        vm.set(max_bandwidth=1 << 40, max_postcopy_bandwidth=0)
        wait(lambda: vm.info()["status"] == "completed")
        wait(lambda: len(notes.over) == 1)
    [migration] = notes.over
    assert migration.state == "completed"
    assert migration.rounds[0].valid
    assert migration.rounds[0].fake_pages == 0
    assert "postcopy" in migration.rounds[-1].invalid_reason
    assert migration.rounds[-1].fake_pages is None


@LEVELS
def test_a_dirty_rate_job_beside_it_makes_no_round(level: Level, tmp_path: Path) -> None:
    notes = Notes()
    with pair(qemu_binary(), tmp_path) as vm, observed(vm.source, level, [notes]):
        # it logs dirty pages for itself, and syncs from a thread of its own
        vm.source.qmp.execute("calc-dirty-rate", {"calc-time": 1, "mode": "page-sampling"})
        wait(lambda: vm.source.qmp.execute("query-dirty-rate")["status"] == "measured")
        assert not notes.migrations
        vm.migrate(max_bandwidth=CRAWL, downtime_limit=1)
        vm.wait_for_syncs(1)
        vm.source.qmp.execute("calc-dirty-rate", {"calc-time": 1, "mode": "page-sampling"})
        wait(lambda: vm.source.qmp.execute("query-dirty-rate")["status"] == "measured")
        vm.set(max_bandwidth=SLOW)
        vm.wait_for_syncs(3)
        ram = vm.converge()["ram"]
        wait(lambda: len(notes.over) == 1)
    exact(notes.over[0], ram)


@LEVELS
def test_a_guest_that_is_stopped(level: Level, tmp_path: Path) -> None:
    notes = Notes()
    with pair(qemu_binary(), tmp_path) as vm, observed(vm.source, level, [notes]):
        vm.source.qmp.execute("stop")
        vm.migrate()
        ram = vm.converge()["ram"]
        wait(lambda: len(notes.over) == 1)
    exact(notes.over[0], ram)
    assert notes.over[0].total("fake_pages") == 0
