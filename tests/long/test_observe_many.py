"""Two hundred QEMUs of two builds, of which eight migrate at once: what each costs, and that all pages are counted."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from fakedirty.lab.guests.serial_report import read_report, wait_for_report
from fakedirty.lab.guests.workload import Workload
from fakedirty.lab.qemu import qemu_binary, stock_binary
from fakedirty.lab.truth import PageRecords, judge, switchover_rounds
from fakedirty.observe.host.target import YOUNG_SECONDS
from fakedirty.record.load import load
from migrating import SLOW, Pair, pair, wait
from serving import service

pytestmark = [
    pytest.mark.timeout(1800),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: for BPF"),
]

IDLE = 192
MIGRATING = 8
WORKLOAD = Workload(fake=300, changed=200, zero=100, aba=100, untouched=300, pause_ms=5, memory_mib=64, stride=2)

DESCRIPTORS_EACH = 3
MIB_EACH = 0.3
REST_SECONDS = 20.0


@dataclass(frozen=True)
class Held:
    """What the collector holds: descriptors, MiB of memory that is its own, MiB of BPF maps and programs."""

    descriptors: int
    memory: float
    kernel: float

    @classmethod
    def by(cls, pid: int) -> Held:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        [pss] = [int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")]
        entries = list(Path(f"/proc/{pid}/fdinfo").iterdir())
        locked = 0
        for entry in entries:
            text = entry.read_text()
            locked += sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("memlock:"))
        return cls(len(entries), pss / 1024, locked / (1 << 20))


def cpu_seconds(pid: int) -> float:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


@contextmanager
def idle(directory: Path, first: int, count: int) -> Iterator[list[int]]:
    """QEMUs of both builds in turn, without a machine; their process ids."""
    builds = (qemu_binary(), stock_binary())
    bare = ["-machine", "none", "-nodefaults", "-display", "none", "-S", "-m", "1"]
    with ExitStack() as stack:
        processes = []
        for number in range(first, first + count):
            monitor = ["-qmp", f"unix:{directory}/idle-{number},server=on,wait=off"]
            command = [str(builds[number % 2]), "-name", f"idle-{number}", *bare, *monitor]
            process = stack.enter_context(subprocess.Popen(command, stdin=subprocess.DEVNULL))
            stack.callback(process.kill)
            processes.append(process)
        wait(lambda: all((directory / f"idle-{number}").exists() for number in range(first, first + count)))
        yield [process.pid for process in processes]


def names_of(number: int) -> str:
    return f"truth-{number}"


@contextmanager
def truthful(directory: Path) -> Iterator[dict[str, Pair]]:
    """Guests that know their pages, on both builds."""
    with ExitStack() as stack:
        vms = {}
        for number in range(MIGRATING):
            own = directory / names_of(number)
            own.mkdir()
            build = qemu_binary() if number % 2 else stock_binary()
            vms[names_of(number)] = stack.enter_context(pair(build, own, name=names_of(number), workload=WORKLOAD))
        yield vms


def test_two_hundred_qemus_and_eight_that_migrate(tmp_path: Path) -> None:
    with ExitStack() as stack:
        vms = stack.enter_context(truthful(tmp_path))
        few = stack.enter_context(idle(tmp_path, 0, 2))
        daemon = stack.enter_context(service(tmp_path, "--pages", "--listen", "127.0.0.1:0"))
        daemon.wait_for(*few, *(vm.source.pid for vm in vms.values()))
        time.sleep(REST_SECONDS / 4)
        before = Held.by(daemon.process.pid)
        began = time.monotonic()
        many = stack.enter_context(idle(tmp_path, 2, IDLE - 2))
        started = time.monotonic()
        daemon.wait_for(*many)
        attached = time.monotonic()
        time.sleep(YOUNG_SECONDS)  # for which processes are looked at again and again
        after = Held.by(daemon.process.pid)
        at_rest = cpu_seconds(daemon.process.pid)
        time.sleep(REST_SECONDS)
        at_rest = cpu_seconds(daemon.process.pid) - at_rest
        each = {
            "descriptors": (after.descriptors - before.descriptors) / len(many),
            "MiB": (after.memory - before.memory) / len(many),
            "MiB of BPF": (after.kernel - before.kernel) / len(many),
        }
        print(f"{len(many)} more QEMUs started in {started - began:.1f} s, observed {attached - started:.1f} s later")
        print(", ".join(f"{name} each: {value:.3f}" for name, value in each.items()))
        print(f"at rest: {at_rest / REST_SECONDS:.2%} of a core; in all {after}")
        assert each["descriptors"] <= DESCRIPTORS_EACH
        assert each["MiB"] + each["MiB of BPF"] <= MIB_EACH
        migrate_all(vms)
        for name, vm in vms.items():
            [directory] = daemon.wait_for_recordings(name)
            check(directory, vm)
        assert daemon.stop() == 0, daemon.log


def migrate_all(vms: dict[str, Pair], syncs: int = 4) -> None:
    """All at once, until each has so many bitmap syncs; then they converge."""
    for name, vm in vms.items():
        wait_for_report(vm.directory / "serial-0", lambda report: len(report.sweeps) > 1, seconds=120)
        mode = {"fake_dirty_mode": "observe"} if int(name.rpartition("-")[2]) % 2 else {}
        vm.migrate(max_bandwidth=SLOW, downtime_limit=1, autostart=True, **mode)
    for vm in vms.values():
        vm.wait_for_syncs(syncs)
    for vm in vms.values():
        vm.converge()


def check(directory: Path, vm: Pair) -> None:
    """Every page of every round is of the class that the guest knows, and all of QEMU's pages were counted."""
    recording = load(directory)
    [migration] = recording.migrations.to_dict("records")
    assert migration["valid"], recording.rounds["invalid_reason"].tolist()
    report = read_report(vm.directory / "serial-0")
    assert report.longest_sweep_seconds is not None
    verdict = judge(
        report.sets,
        PageRecords.of_frame(recording.pages),
        sweep_seconds=report.longest_sweep_seconds,
        switchover=switchover_rounds(recording.rounds),
    )
    print(f"{migration['vm']} at level {migration['level']}: {migration['rounds']} rounds, {verdict}")
    assert verdict.right_share == 1, str(verdict)
    assert verdict.sets["fake"].judged > WORKLOAD.fake
    assert verdict.sets["changed"].judged > WORKLOAD.changed
    ram = vm.info()["ram"]
    assert recording.rounds["normal_pages"].sum() == ram["normal"]
    assert recording.rounds["zero_pages"].sum() == ram["duplicate"]
    assert len(recording.pages) == recording.rounds["visited_pages"].sum()


@pytest.mark.parametrize(("soft", "hard", "count"), [(1024, 20_000, IDLE), (256, 256, 40)])
def test_within_its_limit_of_descriptors(soft: int, hard: int, count: int, tmp_path: Path) -> None:
    """What fits is observed, what does not is named once, and nothing ends."""
    with ExitStack() as stack:
        many = stack.enter_context(idle(tmp_path, 0, count))
        command = ["prlimit", f"--nofile={soft}:{hard}", "--"]
        daemon = stack.enter_context(service(tmp_path, "--listen", "127.0.0.1:0", before=command))
        refused = lambda: daemon.log.count("is not observed")  # noqa: E731
        wait(lambda: daemon.log.count("attached: ") + refused() >= len(many))
        time.sleep(3)
        print(f"limit {soft}:{hard}: {daemon.log.count('attached: ')} of {count} observed, {refused()} named")
        assert daemon.log.count("attached: ") + refused() == len(many)
        assert "Traceback" not in daemon.log
        for line in daemon.lines:
            if "is not observed" in line:
                assert "file descriptors" in line
        if hard > 1024:
            assert not refused(), "the limit is raised to the hard one"
        assert daemon.stop() == 0, daemon.log
