"""Many QEMUs on one host: each is found, observed at its level, counted rightly, and let go."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from fakedirty.lab.qemu import qemu_binary, stock_binary
from fakedirty.observe.target import by_pid
from fakedirty.record.load import load
from migrating import PATIENCE_SECONDS, SLOW, Pair, pair

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: for BPF")
VMS = 8


@contextmanager
def observing_all(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "fakedirty.cli.main", "observe", "--all", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


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


def test_who_cannot_be_observed_does_not_stop_the_others(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pair(stock_binary(), tmp_path) as vm, observing_all("--out", str(out), "--level", "patched") as process:
        assert process.stderr
        while f"(pid {vm.source.pid}) is not observed" not in (line := process.stderr.readline()):
            assert line, "it ended"
        assert "without the fake dirty series" in line
        assert by_pid(vm.source.pid)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode in (0, 3)
