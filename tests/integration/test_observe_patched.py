"""The patched level on the QEMU with the series: its counts, the kernel's and the guest's own truth agree."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from fakedirty.errors import RecordError
from fakedirty.lab.guests.serial_report import read_report
from fakedirty.lab.qemu import qemu_binary
from fakedirty.model.enums import Kind, Level, Mode, PageClass
from fakedirty.model.events import Event, FinalReport, RoundEnded
from fakedirty.model.migration import Migration
from fakedirty.observe.decode import wire
from fakedirty.observe.host.target import by_pid
from migrating import CRAWL, SLOW, WORKLOAD, Notes, observed, pair, wait


@pytest.fixture
def qemu() -> Path:
    return qemu_binary()


def agree(migration: Migration, info: dict[str, dict[str, int]]) -> None:
    assert [entry.invalid_reason for entry in migration.rounds if not entry.valid] == []
    assert migration.valid
    assert migration.total("normal_pages") == info["ram"]["normal"]
    assert migration.total("zero_pages") == info["ram"]["duplicate"]
    assert len(migration.rounds) == info["ram"]["dirty-sync-count"]


@pytest.mark.parametrize("mode", [Mode.OFF, Mode.OBSERVE, Mode.SKIP])
def test_rounds_as_qemu_counts_them(qemu: Path, tmp_path: Path, mode: Mode) -> None:
    notes = Notes()
    with pair(qemu, tmp_path) as vm, observed(vm.source, Level.PATCHED, [notes], pages=True):
        vm.set(fake_dirty_mode=str(mode))
        vm.migrate(max_bandwidth=SLOW, downtime_limit=1)
        vm.wait_for_syncs(4)
        info = vm.converge()
        wait(lambda: len(notes.over) == 1)
    [migration] = notes.over
    agree(migration, info)
    assert any(isinstance(event, FinalReport) for event in notes.events)
    assert {entry.mode for entry in migration.rounds} == {mode}
    assert (migration.rounds[0].kind, migration.rounds[-1].kind) == (Kind.BULK, Kind.SWITCHOVER)
    if mode is Mode.OFF:
        assert migration.toggles == []
        assert migration.total("fake_pages") is None
        return
    assert [(toggle.from_mode, toggle.to_mode) for toggle in migration.toggles] == [(Mode.OFF, mode)]
    for column in ("first", "changed", "fake"):
        assert migration.total(f"{column}_pages") == info["fake-dirty"][column]
    seen = [event.seen for event in notes.events if isinstance(event, RoundEnded)]
    assert all(counts["visited_pages"] for counts in seen[:2])
    assert sum(len(batch.records) for batch in notes.batches) // 16 == migration.total("visited_pages")


def test_pages_are_what_the_guest_made_them(qemu: Path, tmp_path: Path) -> None:
    notes = Notes()
    with pair(qemu, tmp_path) as vm, observed(vm.source, Level.PATCHED, [notes], pages=True):
        vm.set(fake_dirty_mode="observe")
        vm.migrate(max_bandwidth=SLOW, downtime_limit=1)
        vm.wait_for_syncs(5)
        vm.converge()
        wait(lambda: len(notes.over) == 1)
        sets = read_report(tmp_path / "serial-0").sets
    full = {
        entry.round
        for entry in notes.over[0].rounds
        if entry.kind is Kind.ITERATIVE and (entry.visited_pages or 0) >= WORKLOAD.fake + WORKLOAD.changed
    }
    assert full
    for number in full:
        batches = [batch.records for batch in notes.batches if batch.round == number and batch.block == "pc.ram"]
        tags = np.frombuffer(b"".join(batches), wire.PAGE_RECORD)["tag"]
        frames, classes = tags >> 16, tags >> 8 & 0xFF
        assert set(classes[np.isin(frames, sets["fake"])]) == {PageClass.FAKE}
        assert set(classes[np.isin(frames, sets["changed"])]) == {PageClass.CHANGED}
        assert not np.isin(frames, sets["untouched"]).any()


def test_a_toggle_is_seen(qemu: Path, tmp_path: Path) -> None:
    notes = Notes()
    with pair(qemu, tmp_path) as vm, observed(vm.source, Level.PATCHED, [notes]):
        vm.set(fake_dirty_mode="observe", fake_dirty_switchover=False)
        vm.migrate(max_bandwidth=SLOW, downtime_limit=1)
        vm.wait_for_syncs(3)
        vm.set(fake_dirty_mode="skip")
        wait(lambda: len(notes.migrations[0].toggles) == 2)
        syncs = vm.info()["ram"]["dirty-sync-count"]
        vm.wait_for_syncs(syncs + 3)
        info = vm.converge()
        wait(lambda: len(notes.over) == 1)
    [migration] = notes.over
    agree(migration, info)
    assert [toggle.to_mode for toggle in migration.toggles] == [Mode.OBSERVE, Mode.SKIP]
    assert migration.total("skipped_pages") == info["fake-dirty"]["skipped"]
    assert info["fake-dirty"]["skipped"] > 0
    assert notes.batches == []


def test_come_late_and_cancelled_and_again(qemu: Path, tmp_path: Path) -> None:
    notes = Notes()
    with pair(qemu, tmp_path) as vm:
        vm.set(fake_dirty_mode="observe")
        vm.migrate(max_bandwidth=CRAWL, downtime_limit=1)
        vm.wait_for_syncs(1)
        with observed(vm.source, Level.PATCHED, [notes]):
            wait(lambda: bool(notes.migrations) and len(notes.migrations[0].rounds) >= 2)
            vm.source.qmp.execute("migrate_cancel")
            wait(lambda: len(notes.over) == 1)
            vm.migrate(max_bandwidth=SLOW)
            vm.wait_for_syncs(2)
            info = vm.converge()
            wait(lambda: len(notes.over) == 2)
    first, second = notes.over
    assert first.partial
    assert (first.state, second.state) == ("cancelled", "completed")
    assert "middle" in first.rounds[0].invalid_reason
    assert first.rounds[1].valid
    assert first.migration_id != second.migration_id
    agree(second, info)


class Failing(Notes):
    """A sink whose disk is full from the second event on."""

    def changed(self, migration: Migration, event: Event) -> None:
        super().changed(migration, event)
        if len(self.events) == 2:
            raise RecordError("no space left on device")


def test_a_sink_that_fails_is_left_out_and_the_rest_go_on(qemu: Path, tmp_path: Path) -> None:
    failing, notes = Failing(), Notes()
    with pair(qemu, tmp_path) as vm, observed(vm.source, Level.PATCHED, [failing, notes]):
        vm.migrate(max_bandwidth=SLOW, downtime_limit=1)
        vm.wait_for_syncs(2)
        info = vm.converge()
        wait(lambda: len(notes.over) == 1)
    assert len(failing.events) == 2
    assert failing.over == []
    agree(notes.over[0], info)


def test_an_executable_that_was_replaced(qemu: Path, tmp_path: Path) -> None:
    notes = Notes()
    old = tmp_path / "qemu-system-x86_64"
    shutil.copy(qemu, old)
    with pair(old, tmp_path) as vm:
        old.unlink()
        shutil.copy("/bin/true", old)
        assert by_pid(vm.source.pid).program == str(old)
        for level in (Level.PATCHED, Level.STOCK):
            with observed(vm.source, level, [notes]):
                pass


def test_killed_in_the_middle(qemu: Path, tmp_path: Path) -> None:
    notes = Notes()
    with pair(qemu, tmp_path) as vm, observed(vm.source, Level.PATCHED, [notes]):
        vm.set(fake_dirty_mode="observe")
        vm.migrate(max_bandwidth=SLOW, downtime_limit=1)
        wait(lambda: bool(notes.migrations) and len(notes.migrations[0].rounds) >= 2)
        vm.source.process.kill()
        wait(lambda: len(notes.over) == 1)
    assert notes.over[0].state == "failed"
    assert all(entry.valid for entry in notes.over[0].rounds)
