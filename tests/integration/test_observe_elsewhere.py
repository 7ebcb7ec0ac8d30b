"""QEMUs and collectors that are not alone, not where they seem to be, or not what they seem to be."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fakedirty.errors import TargetError
from fakedirty.lab.qemu import qemu_binary, stock_binary
from fakedirty.model.enums import Level
from fakedirty.observe import doctor
from fakedirty.observe.host import levels
from fakedirty.observe.host.elf import Binary
from fakedirty.observe.host.target import Target, by_pid, find_all
from fakedirty.observe.live import LiveTrace
from fakedirty.observe.observer import Observer
from migrating import SLOW, Notes, observed, pair, running, wait

# a mount namespace in which the executable lies where nothing is outside, and a pid namespace
CONTAINER = """#!/bin/sh
exec unshare --mount --propagation private --pid --fork --kill-child --mount-proc sh -c '
    mount -t tmpfs none /mnt && cp {qemu} /mnt/qemu-system-x86_64 && exec /mnt/qemu-system-x86_64 "$@"' sh "$@"
"""

WITHOUT_TRACEFS = """
import sys
from fakedirty.observe.live import LiveTrace
from fakedirty.model.enums import Level
from fakedirty.observe.host.target import by_pid
assert not any("trace" in line.split()[2] or "debugfs" in line.split()[2] for line in open("/proc/mounts"))
for level in (Level.STOCK, Level.USDT, Level.PATCHED):
    trace = LiveTrace(by_pid(int(sys.argv[1])), level)
    trace.open()
    trace.close()
"""


@pytest.mark.parametrize("level", [Level.STOCK, Level.PATCHED], ids=str)
def test_a_qemu_in_a_container(level: Level, tmp_path: Path) -> None:
    qemu = tmp_path / "qemu-system-x86_64"
    qemu.write_text(CONTAINER.format(qemu=qemu_binary()))
    qemu.chmod(0o755)
    notes = Notes()
    with pair(qemu, tmp_path) as vm:
        [target] = [each for each in find_all() if str(vm.source.observer_socket) in map(str, each.monitors)]
        assert target.pid != vm.source.pid, "the process of the namespaces is another one"
        assert not Path(target.program).exists()
        [report] = doctor.examine([target]).targets
        assert report.level == "patched"
        trace = LiveTrace(target, level, monitor=vm.source.observer_socket)
        with running(Observer(trace, [notes])):
            vm.migrate(max_bandwidth=SLOW)
            ram = vm.converge()["ram"]
            wait(lambda: len(notes.over) == 1)
    [migration] = notes.over
    assert migration.total("normal_pages") == ram["normal"]
    assert migration.total("zero_pages") == ram["duplicate"]


@pytest.mark.parametrize("level", [Level.USDT, Level.PATCHED], ids=str)
def test_two_collectors_at_once_count_the_same(level: Level, tmp_path: Path) -> None:
    one, other = Notes(), Notes()
    with (
        pair(qemu_binary(), tmp_path) as vm,
        observed(vm.source, level, [one]),
        running(Observer(LiveTrace(by_pid(vm.source.pid), level, monitor=vm.source.directory / "none"), [other])),
    ):
        vm.migrate(max_bandwidth=SLOW, downtime_limit=1)
        vm.wait_for_syncs(3)
        ram = vm.converge()["ram"]
        wait(lambda: len(one.over) == len(other.over) == 1)
    for notes in (one, other):
        assert notes.over[0].total("normal_pages") == ram["normal"]
        assert not notes.over[0].lost_events
    counts = [[(r.round, r.visited_pages, r.fake_pages) for r in notes.over[0].rounds] for notes in (one, other)]
    assert counts[0] == counts[1]


def test_without_tracing_file_systems(tmp_path: Path) -> None:
    """Probes are made by perf_event_open, which asks for no mount."""
    umount = 'umount -l /sys/kernel/tracing /sys/kernel/debug/tracing /sys/kernel/debug 2>/dev/null; exec "$@"'
    with pair(qemu_binary(), tmp_path) as vm:
        script = ["unshare", "--mount", "--propagation", "private", "sh", "-c", umount, "sh"]
        done = subprocess.run(
            [*script, sys.executable, "-c", WITHOUT_TRACEFS, str(vm.source.pid)],
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr


def test_an_executable_of_another_architecture(tmp_path: Path) -> None:
    other = tmp_path / "qemu-system-aarch64"
    shutil.copy("/bin/true", other)
    with other.open("r+b") as file:
        file.seek(18)  # e_machine
        file.write((183).to_bytes(2, "little"))
    target = Target(os.getpid(), "arm", other, str(other), 1, ())
    with pytest.raises(TargetError, match=r"AArch64.*x86-64"):
        Binary(other)
    choice = levels.choose(target, qmp_reachable=False)
    assert choice.level is None
    assert "AArch64" in choice.reasons[Level.STOCK]


def test_doctor_says_what_the_configuration_means(tmp_path: Path) -> None:
    with pair(stock_binary(), tmp_path) as vm:
        wanted = [{"capability": name, "state": True} for name in ("xbzrle", "postcopy-ram")]
        vm.source.qmp.execute("migrate-set-capabilities", capabilities=wanted)
        command = [sys.executable, "-m", "fakedirty.cli.main", "doctor", "--pid", str(vm.source.pid)]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        [report] = json.loads(subprocess.run([*command, "--json"], capture_output=True, text=True, check=True).stdout)[
            "targets"
        ]
    assert report["version"].startswith("7.2.")
    assert set(report["capabilities"]) == {"xbzrle", "postcopy-ram"}
    assert "deltas" in report["consequences"]["xbzrle"]
    assert "postcopy" in report["consequences"]["postcopy-ram"]
    assert report["huge_pages"] == []
    assert report["version"] in text
    assert "no share at level stock: xbzrle" in text
