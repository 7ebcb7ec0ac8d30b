"""A trace of a real migration, at every level, replays to the files that were recorded live: to the byte."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import fakedirty
import pytest
from fakedirty.lab.qemu import qemu_binary, stock_binary
from fakedirty.model.enums import Level
from fakedirty.observe.observer import Observer
from fakedirty.record.recorder import Recorder, read_clock
from fakedirty.record.trace_file import Replay, TraceOrigin, TraceWriter
from migrating import SLOW, Notes, observed, pair, wait

#: by name: the QEMU, the level, whether its pages are recorded, and the mode that it is toggled to on the way
CASES: dict[str, tuple[Callable[[], Path], Level, bool, str | None]] = {
    "qmp-stock": (stock_binary, Level.QMP, False, None),
    "qmp-patched": (qemu_binary, Level.QMP, False, "skip"),
    "stock": (stock_binary, Level.STOCK, False, None),
    "usdt": (qemu_binary, Level.USDT, False, None),
    "patched": (qemu_binary, Level.PATCHED, True, "skip"),
}
COMPARED = ("rounds.csv", "toggles.csv", "downtime.csv", "migration.json")


def record(name: str, directory: Path) -> Path:
    """Two migrations of one QEMU, the first cancelled; `directory` gets the trace, and under ``live`` the recording."""
    qemu, level, pages, mode = CASES[name]
    origin = TraceOrigin(f"trace-{name}", read_clock(), ("tests", name))
    recorder = Recorder(directory / "live", origin.run_id, {}, lambda: origin.clock)
    notes = Notes()
    (directory / "guests").mkdir()
    with (
        TraceWriter(directory / f"{name}.trace", origin) as tap,
        pair(qemu(), directory / "guests") as vm,
        observed(vm.source, level, [recorder, notes], pages=pages, tap=tap),
    ):
        vm.migrate(max_bandwidth=SLOW, downtime_limit=1, **({"fake_dirty_mode": "observe"} if mode else {}))
        vm.wait_for_syncs(2)
        if mode:
            vm.set(fake_dirty_mode=mode)
            vm.wait_for_syncs(4)
        vm.source.qmp.execute("migrate_cancel")
        wait(lambda: len(notes.over) == 1)
        vm.migrate(max_bandwidth=SLOW, downtime_limit=1)
        vm.wait_for_syncs(2)
        vm.converge()
        wait(lambda: len(notes.over) == 2)
    assert recorder.failure is None
    return directory / f"{name}.trace"


def replay(path: Path, out: Path) -> Observer:
    """What the trace comes to, recorded into `out`."""
    trace = Replay(path)
    recorder = Recorder(out, trace.origin.run_id, {}, lambda: trace.origin.clock)
    observer = Observer(trace, [recorder])
    observer.attach()
    observer.run(lambda: trace.exhausted)
    observer.close()
    assert recorder.failure is None
    return observer


@pytest.mark.parametrize("name", CASES)
def test_replayed_is_recorded(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = record(name, tmp_path)
    with caplog.at_level(logging.WARNING):
        observer = replay(path, tmp_path / "again")
    assert not caplog.records
    assert [migration.state for migration in observer.migrations] == ["cancelled", "completed"]
    live, again = fakedirty.load(tmp_path / "live"), fakedirty.load(tmp_path / "again")
    assert len(live.directories) == len(again.directories) == 2
    for before, after in zip(live.directories, again.directories, strict=True):
        assert before.relative_to(tmp_path / "live") == after.relative_to(tmp_path / "again")
        for file in COMPARED:
            assert (before / file).read_bytes() == (after / file).read_bytes(), file
    assert len(live.rounds) > 2  # a sole socket is looked at once a second: rounds are merged then
    assert live.pages.equals(again.pages)
    assert bool(len(live.pages)) == CASES[name][2]
