"""Where the downtime of a real migration went: every device, both sides on one clock, and parts that add up."""

from __future__ import annotations

from pathlib import Path

import fakedirty
import pytest
from fakedirty.lab.qemu import qemu_binary
from fakedirty.model.downtime import PartKind
from fakedirty.model.enums import Level
from fakedirty.model.migration import Migration
from fakedirty.record.recorder import Recorder, read_clock
from fakedirty.record.trace_file import TraceOrigin, TraceWriter
from migrating import SLOW, Notes, observed, pair, wait
from test_observe_replay import replay

BOTH = [Level.USDT, Level.PATCHED]
OF_ONE_CLOCK = {PartKind.STOP, PartKind.PREPARE, PartKind.SYNC, PartKind.RAM, PartKind.STATES, PartKind.SAVE}
OF_ONE_CLOCK |= {PartKind.WIRE, PartKind.RECEIVE, PartKind.LOAD, PartKind.START}


def record(level: Level, directory: Path, *, autostart: bool = True) -> tuple[Path, Migration]:
    """One migration; `directory` gets the trace, and under ``live`` the recording."""
    origin = TraceOrigin(f"downtime-{level}", read_clock(), ("tests", "downtime"))
    recorder = Recorder(directory / "live", origin.run_id, {}, lambda: origin.clock)
    notes = Notes()
    trace = directory / f"{level}.trace"
    (directory / "guests").mkdir()
    with (
        TraceWriter(trace, origin) as tap,
        pair(qemu_binary(), directory / "guests") as vm,
        observed(vm.source, level, [recorder, notes], tap=tap),
    ):
        vm.migrate(autostart=autostart, max_bandwidth=SLOW, downtime_limit=1)
        vm.wait_for_syncs(2)
        vm.converge()
        wait(lambda: len(notes.over) == 1)
    assert recorder.failure is None
    return trace, notes.over[0]


@pytest.mark.parametrize("level", BOTH)
def test_parts_of_both_sides_add_up_to_the_downtime_from_outside(level: Level, tmp_path: Path) -> None:
    trace, migration = record(level, tmp_path)
    assert migration.valid
    found = migration.blackout
    assert found is not None
    assert found.outside
    assert found.duration_ns == migration.outside_downtime_ns
    rest = found.unexplained_ns
    assert rest is not None
    assert sum(found.counted.values()) + rest == found.duration_ns
    assert 0 <= rest < found.duration_ns
    assert set(found.counted) == OF_ONE_CLOCK
    saved = [(part.device, part.instance) for part in found.parts if part.kind is PartKind.SAVE]
    loaded = [(part.device, part.instance) for part in found.parts if part.kind is PartKind.LOAD]
    assert set(loaded) <= set(saved), "some devices have nothing to save, and QEMU reports them too"
    assert len(set(saved)) == len(saved) > 5
    assert len(set(loaded)) == len(loaded) > 5
    assert {"timer", "cpu"} <= {device for device, _ in loaded}

    again = replay(trace, tmp_path / "again").migrations[0]
    assert again.blackout == found
    frames = [fakedirty.load(tmp_path / place).downtime for place in ("live", "again")]
    assert frames[0].equals(frames[1])
    assert round(frames[0]["counted_seconds"].sum() * 1e9) == found.duration_ns


def test_a_destination_that_never_ran_leaves_qemus_own_downtime(tmp_path: Path) -> None:
    _, migration = record(Level.PATCHED, tmp_path, autostart=False)
    found = migration.blackout
    assert found is not None
    assert not found.outside
    assert migration.outside_downtime_ns is None
    reported_ms = migration.reported("downtime")
    assert reported_ms is not None
    assert found.duration_ns is not None
    assert abs(found.duration_ns / 1e6 - reported_ms) < 2, "QEMU counts whole milliseconds"
    assert found.unexplained_ns is not None
    assert found.unexplained_ns >= 0


def test_a_migration_that_is_cancelled_has_no_parts(tmp_path: Path) -> None:
    """It is cancelled while it waits to hand over disks, with the guest stopped."""
    notes = Notes()
    with pair(qemu_binary(), tmp_path) as vm, observed(vm.source, Level.PATCHED, [notes]):
        capabilities = [{"capability": "pause-before-switchover", "state": True}]
        vm.source.qmp.execute("migrate-set-capabilities", capabilities=capabilities)
        vm.migrate(autostart=True)
        wait(lambda: vm.info()["status"] == "pre-switchover")
        vm.source.qmp.execute("migrate_cancel")
        wait(lambda: len(notes.over) == 1)
    assert notes.over[0].state == "cancelled"
    assert notes.over[0].blackout is None
