"""A snapshot fills QEMU's counters and states of migration, and no page of it leaves: no level records one.

What leaves without a destination, to a file or to a command, and a background snapshot, is a migration.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from fakedirty.lab.qemu import qemu_binary, stock_binary
from fakedirty.model.enums import Level
from jobs import finish
from migrating import Notes, Pair, capable, observed, pair, wait
from snapshots import DISK_BYTES

CASES = [
    ("stock", Level.QMP),
    ("stock", Level.STOCK),
    ("patched", Level.QMP),
    ("patched", Level.STOCK),
    ("patched", Level.USDT),
    ("patched", Level.PATCHED),
]
QEMUS = {"stock": stock_binary, "patched": qemu_binary}


def with_disk(vm: Pair, path: Path) -> None:
    """A qcow2 image, made by QEMU itself, as the only node that the monitor owns: HMP's savevm takes all of those."""
    qmp = vm.source.qmp
    image = {"driver": "file", "filename": str(path)}
    finish(qmp, "blockdev-create", {"options": {**image, "size": 0}})
    qmp.execute("blockdev-add", {**image, "node-name": "made"})
    finish(qmp, "blockdev-create", {"options": {"driver": "qcow2", "file": "made", "size": DISK_BYTES}})
    qmp.execute("blockdev-del", {"node-name": "made"})
    qmp.execute("blockdev-add", {"driver": "qcow2", "file": image, "node-name": "disk"})


def snapshots(vm: Pair, number: int) -> None:
    """One of each way to take it, and one that is loaded."""
    assert not vm.source.qmp.execute("human-monitor-command", {"command-line": f"savevm hmp{number}"})
    assert vm.info()["status"] == "completed"
    job = {"tag": f"job{number}", "vmstate": "disk", "devices": ["disk"]}
    finish(vm.source.qmp, "snapshot-save", job)
    finish(vm.source.qmp, "snapshot-load", job)
    vm.source.qmp.execute("cont")


def snapshots_around_migrations(vm: Pair, notes: Notes, saved: Path) -> None:
    """Before, between and after one that completes and one that is cancelled."""
    snapshots(vm, 1)
    vm.set(max_bandwidth=1 << 30, downtime_limit=10_000)
    vm.source.qmp.execute("migrate", uri=f"exec:cat > {saved}")
    wait(lambda: len(notes.over) == 1)
    # the guest has left, for all that QEMU knows: it is here again
    vm.source.qmp.execute("cont")
    snapshots(vm, 2)
    vm.set(max_bandwidth=1 << 20)
    vm.migrate()
    wait(lambda: len(notes.migrations) == 2)
    vm.source.qmp.execute("migrate_cancel")
    wait(lambda: len(notes.over) == 2 and vm.info()["status"] == "cancelled")
    snapshots(vm, 3)


@pytest.mark.parametrize(("qemu", "level"), CASES)
def test_snapshots_before_between_and_after_migrations_are_none(qemu: str, level: Level, tmp_path: Path) -> None:
    notes, other = Notes(), Notes()
    with pair(QEMUS[qemu](), tmp_path) as vm:
        with_disk(vm, tmp_path / "disk")
        with observed(vm.source, level, [notes]):
            snapshots_around_migrations(vm, notes, tmp_path / "saved")
        with observed(vm.source, Level.QMP, [other]):  # who comes now finds "completed", and counters
            snapshots(vm, 4)
    assert [migration.state for migration in notes.over] == ["completed", "cancelled"]
    assert not other.migrations


@pytest.mark.parametrize("qemu", QEMUS)
def test_a_background_snapshot_leaves(qemu: str, tmp_path: Path) -> None:
    notes = Notes()
    with pair(QEMUS[qemu](), tmp_path) as vm, observed(vm.source, Level.QMP, [notes]):
        capable(vm, "background-snapshot")
        vm.set(max_bandwidth=4 << 20)
        vm.source.qmp.execute("migrate", uri=f"exec:cat > {tmp_path}/saved")
        wait(lambda: len(notes.over) == 1)
        ram = vm.info()["ram"]
    assert notes.over[0].state == "completed"
    assert notes.over[0].total("normal_pages") == ram["normal"]
