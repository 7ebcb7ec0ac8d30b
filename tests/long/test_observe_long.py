"""Observation that takes its time: forced syncs, rings that overflow by rounds, many migrations at once."""

from __future__ import annotations

import signal
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from fakedirty.lab.guest_workload import Workload
from fakedirty.lab.qemu import qemu_binary, stock_binary
from fakedirty.model.words import Kind, Level, Mode
from fakedirty.observe.sizes import Sizes
from fakedirty.record.load import load
from migrating import CRAWL, PATIENCE_SECONDS, SLOW, Notes, Pair, observed, pair, wait
from test_guest_truth import linux_is_classified
from test_observe_configurations import LEVELS, capable
from test_observe_fleet import observing_all
from test_observe_losses import BINARIES, EVENTS, lost

LARGE = Workload(fake=1500, changed=3000, zero=900, aba=3000, untouched=100, pause_ms=2, memory_mib=64)
VMS = 8


@LEVELS
def test_syncs_that_throttling_forces_are_told_from_rounds(level: Level, tmp_path: Path) -> None:
    notes = Notes()
    with pair(qemu_binary(), tmp_path, workload=LARGE) as vm, observed(vm.source, level, [notes]):
        capable(vm, "auto-converge")
        vm.migrate(max_bandwidth=5 * SLOW, downtime_limit=1)
        vm.wait_for_syncs(2)
        # a timer syncs where nothing else has for five seconds, and so keeps the round from coming to its end
        vm.set(max_bandwidth=CRAWL // 4)
        wait(lambda: vm.info()["ram"]["dirty-sync-count"] >= len(notes.migrations[0].rounds) + 3)
        ram = vm.converge()["ram"]
        wait(lambda: len(notes.over) == 1)
    [migration] = notes.over
    assert migration.valid, [entry.invalid_reason for entry in migration.rounds]
    assert migration.total("normal_pages") == ram["normal"]
    assert len(migration.rounds) + (migration.total("forced_syncs") or 0) == ram["dirty-sync-count"]
    assert migration.total("forced_syncs")
    assert migration.rounds[-1].kind is Kind.SWITCHOVER


@pytest.mark.parametrize("level", BINARIES, ids=str)
def test_a_ring_of_events_that_is_too_small(level: Level, tmp_path: Path) -> None:
    notes, stalled = Notes(), threading.Event()
    stalled.set()
    with (
        pair(qemu_binary(), tmp_path) as vm,
        observed(vm.source, level, [notes], sizes=Sizes(event_ring=1), stalled=stalled),
    ):
        # a crawl of many rounds: the ring has room for a dozen
        vm.migrate(max_bandwidth=3 * SLOW, downtime_limit=1)
        vm.wait_for_syncs(40)
        stalled.clear()
        wait(lambda: bool(notes.migrations) and bool(notes.migrations[0].lost_events))
        vm.converge()
        wait(lambda: len(notes.over) == 1)
    assert lost(notes.over[0], EVENTS) >= 1


def attached(process: subprocess.Popen[str], pids: set[int]) -> None:
    """Until the collector has said of each that it is attached."""
    assert process.stderr
    while pids:
        line = process.stderr.readline()
        assert line, "it ended"
        if line.startswith("attached: "):
            pids.discard(int(line.split(" pid ")[1].split()[0]))


def migrated(vm: Pair) -> dict[str, int]:
    vm.migrate(max_bandwidth=2 * SLOW, downtime_limit=1)
    vm.wait_for_syncs(2)
    ram: dict[str, int] = vm.converge()["ram"]
    return ram


def test_eight_migrations_at_once(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with ExitStack() as stack:
        process = stack.enter_context(observing_all("--out", str(out), "--json"))
        pairs = []
        for number in range(VMS):
            directory = tmp_path / str(number)
            directory.mkdir()
            binary = qemu_binary() if number % 2 else stock_binary()
            pairs.append(stack.enter_context(pair(binary, directory, name=f"vm{number}")))
        attached(process, {vm.source.pid for vm in pairs})
        with ThreadPoolExecutor(VMS) as pool:
            counted = list(pool.map(migrated, pairs))
        # one of them goes, and with it its observer
        pairs[0].source.process.kill()
        process.send_signal(signal.SIGTERM)
        _stdout, stderr = process.communicate(timeout=PATIENCE_SECONDS)
    recording = load(out)
    print(recording.migrations[["vm", "level", "outcome", "valid", "rounds"]], stderr)
    # other QEMUs of this host, if it has any, were observed too
    assert process.returncode == (0 if recording.migrations["valid"].all() else 3), stderr
    ours = recording.migrations[recording.migrations["vm"].isin([f"vm{number}" for number in range(VMS)])]
    assert list(ours["outcome"]) == ["completed"] * VMS
    assert ours["valid"].all()
    for number, ram in enumerate(counted):
        own = recording.rounds[recording.rounds["vm"] == f"vm{number}"]
        assert set(own["level"]) == {"patched" if number % 2 else "stock"}
        assert own["normal_pages"].sum() == ram["normal"]
        assert own["zero_pages"].sum() == ram["duplicate"]
        assert not own["lost_events"].any()


@LEVELS
def test_linux_is_classified_from_outside(level: Level, tmp_path: Path) -> None:
    linux_is_classified(level, Mode.OFF, tmp_path)
