"""Both halves of a real migration, joined: the downtime is that of one clock, and lies in the interval of two."""

from __future__ import annotations

import json
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fakedirty.lab.qemu import Builds, qemu_binary, stock_binary
from fakedirty.linux.wall_clock import boot_id, clock_error
from fakedirty.model.enums import Level
from fakedirty.model.migration import Migration
from fakedirty.record.halves.half import read_half
from fakedirty.record.halves.match import match
from fakedirty.record.manifest import Clock
from fakedirty.record.recorder import Recorder
from migrating import CRAWL, SLOW, Notes, capable, observed, pair, wait

BLOCKTIME = ("postcopy-ram", "postcopy-blocktime")
HOUR = timedelta(hours=1)


def recorder(out: Path, host: str) -> Recorder:
    return Recorder(
        out,
        "run",
        {"host": host},
        lambda: Clock(time.time_ns(), time.monotonic_ns(), clock_error(), boot_id()),
    )


def another_host(directory: Path, ahead: timedelta) -> None:
    """Make the recording one of a host whose clock shows more, and that is not synchronised."""
    manifest = json.loads((directory / "manifest.json").read_text())
    manifest["clock"] |= {"boot_id": "another", "error": None}
    manifest["started_at"] = later(manifest["started_at"], ahead)
    (directory / "manifest.json").write_text(json.dumps(manifest))
    summary = json.loads((directory / "migration.json").read_text())
    summary |= {name: later(summary[name], ahead) for name in ("started_at", "resumed_at")}
    (directory / "migration.json").write_text(json.dumps(summary))


def later(date: str, by: timedelta) -> str:
    return (datetime.fromisoformat(date) + by).isoformat()


def recorded(
    qemu: Path, level: Level, directory: Path, *capabilities: str, postcopy: bool = False
) -> tuple[Migration, Migration, Path, Path]:
    """A migration whose two ends are recorded, each by an observer of its own."""
    notes, there = Notes(), Notes()
    out = recorder(directory / "alpha", "alpha"), recorder(directory / "beta", "beta")
    with pair(qemu, directory) as vm, observed(vm.source, level, [notes, out[0]]):
        vm.destination = vm.source.name
        capable(vm, *capabilities)
        destination = vm.receive(autostart=True)
        with observed(destination, level, [there, out[1]]):
            vm.migrate(max_bandwidth=SLOW, downtime_limit=1)
            vm.wait_for_syncs(3)
            wait(lambda: notes.migrations[0].return_path is not None)
            if postcopy:  # so slow that the guest waits for pages, and the report is read more than once
                vm.set(max_postcopy_bandwidth=CRAWL)
                vm.source.qmp.execute("migrate-start-postcopy")
            vm.converge()
            wait(lambda: len(notes.over) == len(there.over) == 1)
    return notes.over[0], there.over[0], out[0].directories[0], out[1].directories[0]


@pytest.mark.parametrize(("qemu", "level"), [("stock", Level.STOCK), ("patched", Level.PATCHED)])
def test_both_halves_of_a_real_migration(qemu: str, level: Level, tmp_path: Path) -> None:
    binary = stock_binary() if qemu == "stock" else qemu_binary()
    source, arrival, *directories = recorded(binary, level, tmp_path, "return-path")
    assert source.return_path is True
    assert (arrival.report["status"], arrival.valid) == ("completed", True)
    [one, other] = map(read_half, directories)
    # on this host both observers have one clock, and the source saw the guest run itself
    found = match(one, other)
    assert found.downtime_ns is not None
    low, high = found.downtime_ns
    assert high - low == 4_000  # the dates are of whole microseconds
    seen_ns = source.outside_downtime_ns
    assert seen_ns is not None
    assert low - 1_000_000 <= seen_ns <= high + 1_000_000  # the two probes are not hit in the same instant
    # as if they were two hosts, whose clocks nobody has set
    for ahead in (timedelta(0), HOUR):
        another_host(directories[1], ahead)
        apart = match(one, read_half(directories[1]))
        assert apart.offset_by == "states"
        assert apart.downtime_ns is not None
        assert apart.downtime_ns[0] <= seen_ns <= apart.downtime_ns[1]
        assert apart.offset_low_ns < ahead.total_seconds() * 1e9 < apart.offset_high_ns
        if not ahead:
            assert one.ended_ns is not None
            assert one.stopped_ns is not None
            assert apart.downtime_ns[1] - apart.downtime_ns[0] == one.ended_ns - one.stopped_ns
    assert "bytes" not in found.by


@pytest.mark.parametrize("release", ["10.0", "10.2"])
def test_a_destination_is_recorded_to_the_end_of_postcopy(release: str, tmp_path: Path) -> None:
    """The latencies are those of QEMU's last report: 10.2 has them, 10.0 does not."""
    qemu = Builds(release).build()
    source, arrival, *directories = recorded(qemu, Level.PATCHED, tmp_path, *BLOCKTIME, postcopy=True)
    assert source.postcopy_ns is not None
    assert arrival.report["status"] == "completed"
    summary: dict[str, Any] = json.loads((directories[1] / "migration.json").read_text())
    print({name: value for name, value in summary["query_migrate"].items() if "latency" in name})
    if release == "10.0":
        assert summary["postcopy_latency_ns"] is None
    else:
        assert summary["postcopy_latency_ns"] > 0
        assert sum(summary["query_migrate"]["postcopy-latency-dist"]) > 0
    found = match(read_half(directories[0]), read_half(directories[1]))
    assert found.downtime_ns is not None
    assert 0 < found.downtime_ns[0] <= found.downtime_ns[1]
