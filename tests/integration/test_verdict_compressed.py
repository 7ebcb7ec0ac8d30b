"""The verdict beside compression: what fits the downtime limit on the wire is no end, as QEMU counts whole pages."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from fakedirty.lab.qemu import qemu_binary
from fakedirty.model.enums import Level
from fakedirty.model.migration import Migration
from migrating import WORKLOAD, Notes, capable, observed, pair, wait

MANY = replace(WORKLOAD, fake=2_000, changed=4_000, untouched=4_000)
LIMIT_MS = 2_000  # far above what 4,000 pages take on the wire
BANDWIDTH = 256 << 10  # bytes/s; so low that rounds take it all, and within the limit it is 128 pages as they are
ROUNDS = 12


def test_pages_that_compress_count_in_full(tmp_path: Path) -> None:
    notes = Notes()
    with pair(qemu_binary(), tmp_path, workload=MANY) as vm, observed(vm.source, Level.QMP, [notes]):
        capable(vm, "multifd")
        vm.set(multifd_channels=2, multifd_compression="zstd")
        vm.receive(multifd_channels=2, multifd_compression="zstd")
        vm.migrate(max_bandwidth=BANDWIDTH, downtime_limit=LIMIT_MS, fake_dirty_mode="skip")
        wait(lambda: bool(notes.migrations) and enough(notes.migrations[0]))
        [migration] = notes.migrations
        found, state = migration.forecast, vm.info()["status"]
        vm.source.qmp.execute("migrate_cancel")
        wait(lambda: len(notes.over) == 1)
    assert found
    assert state == "active", "QEMU has ended it"
    assert found.counted_ratio > 1.5, "pages do not compress"
    assert not found.with_skip.converges


def enough(migration: Migration) -> bool:
    """Rounds have ended, and QEMU was asked for its limit."""
    return len(migration.rounds) >= ROUNDS and migration.downtime_limit_ms is not None
