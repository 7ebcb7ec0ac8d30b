"""Observation that takes its time: forced syncs, rings that overflow by rounds, many migrations at once."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from fakedirty.lab.guests.workload import Workload
from fakedirty.lab.qemu import qemu_binary, stock_binary
from fakedirty.model.enums import Disposition, Kind, Level, Mode, PageClass
from fakedirty.observe.bpf.attachment import Attachment
from fakedirty.observe.bpf.buffer_sizes import BufferSizes
from fakedirty.observe.decode.pages import NOWHERE
from fakedirty.observe.decode.wire import PAGE_RECORD
from fakedirty.record.load import load
from migrating import CRAWL, PATIENCE_SECONDS, SLOW, Notes, Pair, capable, observed, pair, wait
from test_guest_truth import linux_is_classified
from test_observe_configurations import LEVELS
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
def test_a_ring_of_events_that_is_too_small(level: Level, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notes, drain, stalled = Notes(), Attachment.drain, threading.Event()

    def late(attachment: Attachment) -> None:
        if stalled.is_set():
            time.sleep(0.02)  # as if the thread that reads the rings had no CPU
        else:
            drain(attachment)

    monkeypatch.setattr(Attachment, "drain", late)
    stalled.set()
    with pair(qemu_binary(), tmp_path) as vm, observed(vm.source, level, [notes], sizes=BufferSizes(event_ring=1)):
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
        # one of them goes, and with it its observer: once QEMU's totals were read, without which nothing can be checked
        wait(lambda: any(each.suffix != ".partial" for each in (out / "vm0").glob("*")))
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


def test_classes_from_outside_are_those_of_the_series(tmp_path: Path) -> None:
    """One migration, two observers: what is hashed when it is queued, against the copy that is sent.

    With its mode on, QEMU tests copies for zero, so that only pages sent in full are compared; and it queues copies,
    so that level stock, which hashes a moment later than usdt, has nothing to be compared with.
    """
    busy = Workload(fake=3000, changed=3000, aba=3000, untouched=100, pause_ms=0, memory_mib=64)
    exact, outside = Notes(), Notes()
    with (
        pair(qemu_binary(), tmp_path, workload=busy) as vm,
        observed(vm.source, Level.PATCHED, [exact], pages=True),
        observed(vm.source, Level.USDT, [outside], pages=True),
    ):
        vm.migrate(max_bandwidth=5 * SLOW, downtime_limit=1, fake_dirty_mode="observe")
        vm.wait_for_syncs(9)
        vm.converge()
        wait(lambda: len(exact.over) == len(outside.over) == 1)
    sent, seen = full_visits(exact), full_visits(outside)
    assert sent.keys() == seen.keys()
    judged = [at for at in sent if len(sent[at]) == len(seen[at]) == 1 and sent[at][0] != PageClass.FIRST]
    differing = sum(sent[at] != seen[at] for at in judged)
    print(f"{differing:,} of {len(judged):,} visits are judged otherwise from outside ({differing / len(judged):.3%})")
    assert len(judged) > 30_000
    assert differing / len(judged) < 0.01


def full_visits(notes: Notes) -> dict[tuple[int, str, int], list[int]]:
    """Classes of pages that were sent in full, by round, block and page."""
    visits: dict[tuple[int, str, int], list[int]] = {}
    for batch in notes.batches:
        for tag in np.frombuffer(batch.records, PAGE_RECORD)["tag"].tolist():
            if batch.block != NOWHERE and tag & 0xFF == Disposition.NORMAL:
                visits.setdefault((batch.round, batch.block, tag >> 16), []).append(tag >> 8 & 0xFF)
    return visits
