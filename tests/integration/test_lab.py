"""The laboratory with a real QEMU over a real link: a migration, equality of memory, and nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from fakedirty.errors import LabError
from fakedirty.lab.machine import INCOMING, Machine, machine
from fakedirty.lab.memory_compare import Side, compare_memory
from fakedirty.lab.migrate import Settings, Step, migrate
from fakedirty.lab.network import shaped_network
from fakedirty.lab.qemu import qemu_binary
from fakedirty.observe.bpf.ram_blocks import ram_blocks
from fakedirty.qmp.client import Qmp, QmpClosedError

PAGE = 4096
MEMORY = ("-m", "65528k")  # not a multiple of 64 pages: see Experiment.odd_memory


@pytest.fixture
def qemu() -> Path:
    """The one with the patch series; the long tests have Debian's."""
    return qemu_binary()


@contextmanager
def pair(qemu: Path, *arguments: str) -> Iterator[tuple[Machine, Machine]]:
    """A source that runs its firmware, and a destination that waits for it."""
    with ExitStack() as stack:
        network = stack.enter_context(shaped_network())
        yield (
            stack.enter_context(machine("source", qemu, [*MEMORY, *arguments], end=network.source)),
            stack.enter_context(machine("destination", qemu, [*MEMORY, *INCOMING], end=network.destination)),
        )


def sides(source: Machine, destination: Machine) -> tuple[Side, Side]:
    return Side(source.qmp, source.pid), Side(destination.qmp, destination.pid)


def gone(pid: int) -> bool:
    """Whether a process has ended. The kernel ends it, so wait a moment."""
    for _ in range(500):
        if not Path(f"/proc/{pid}").exists():
            return True
        time.sleep(0.02)
    return False


def test_a_migration_arrives_whole(qemu: Path) -> None:
    with pair(qemu) as (source, destination):
        outcome = migrate(source, destination, Settings(), time_limit=60)
        assert outcome.status == "completed"
        assert outcome.converged
        assert destination.qmp.execute("query-status")["running"] is False
        assert source.end is not None
        assert source.end.sent_bytes() >= outcome.final["ram"]["transferred"]

        report = compare_memory(*sides(source, destination), PAGE)
        assert report.equal, report
        assert {"pc.ram", "pc.bios"} <= {block.name for block in report.blocks}
        assert all(block.source_digest == block.destination_digest for block in report.blocks)


def test_one_changed_byte_is_found(qemu: Path) -> None:
    with pair(qemu) as (source, destination):
        migrate(source, destination, Settings(), time_limit=60)
        ram = next(block for block in ram_blocks(destination.qmp, destination.pid) if block.name == "pc.ram")
        page, offset = ram.length // PAGE - 7, 1234
        memory = os.open(f"/proc/{destination.pid}/mem", os.O_RDWR)
        try:
            at = ram.address + page * PAGE + offset
            flipped = bytes(byte ^ 1 for byte in os.pread(memory, 1, at))
            os.pwrite(memory, flipped, at)
        finally:
            os.close(memory)

        report = compare_memory(*sides(source, destination), PAGE)
        assert not report.equal
        assert [(found.block, found.page, found.offset) for found in report.differing] == [("pc.ram", page, offset)]
        unequal = [block.name for block in report.blocks if block.source_digest != block.destination_digest]
        assert unequal == ["pc.ram"]
        assert f"pc.ram page {page} byte {offset}" in str(report)


def test_a_migration_that_does_not_end_is_let_through_at_the_limit(qemu: Path) -> None:
    taken = []
    with pair(qemu) as (source, destination):
        settings = Settings(bandwidth_bytes=4096, downtime_limit_ms=1)
        limit = [Step(lambda qmp: taken.append("second"), after_seconds=0.2)]
        outcome = migrate(
            source,
            destination,
            settings,
            time_limit=0.5,
            steps=limit,
            at_limit=lambda: source.qmp.execute("migrate-set-parameters", {"max-bandwidth": 10**11}),
        )
        assert not outcome.converged
        assert outcome.measured["status"] == "active"
        assert outcome.status == "completed"
        assert compare_memory(*sides(source, destination), PAGE).equal
    assert taken == ["second"]


def test_a_source_that_is_killed_is_an_error(qemu: Path) -> None:
    with pair(qemu) as (source, destination):
        kill = Step(lambda qmp: source.process.kill(), after_seconds=0)
        with pytest.raises((LabError, QmpClosedError)):
            migrate(source, destination, Settings(bandwidth_bytes=4096), time_limit=60, steps=[kill])


def test_machines_of_different_size_are_not_compared(qemu: Path) -> None:
    with (
        machine("one", qemu, ["-m", "64", "-S"]) as one,
        machine("two", qemu, ["-m", "32", "-S"]) as two,
        pytest.raises(LabError, match="different RAM blocks"),
    ):
        compare_memory(*sides(one, two), PAGE)


def test_a_busy_socket_names_its_holder(qemu: Path) -> None:
    with machine("busy", qemu, [*MEMORY, "-S"]) as busy:
        command = [sys.executable, "-c", HOLD, str(busy.observer_socket)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
            try:
                assert holder.stdout is not None
                assert holder.stdout.readline() == b"held\n"
                for _ in range(4):  # the first wait in QEMU's queue, which is short; the rest are turned away
                    with pytest.raises(Exception, match=rf"held by .*\b{holder.pid}\b"):
                        Qmp.connect(busy.observer_socket)
            finally:
                holder.kill()
        Qmp.connect(busy.observer_socket).close()


HOLD = """
import sys
from fakedirty.qmp.client import Qmp
with Qmp.connect(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_the_error_of_a_qemu_that_does_not_start_has_the_reason(qemu: Path) -> None:
    with pytest.raises(LabError, match="no-such-option"), machine("bad", qemu, ["-no-such-option"]):
        pass


def test_no_qemu_is_an_error() -> None:
    with pytest.raises(LabError, match="no QEMU"), machine("none", Path("/nowhere/qemu")):
        pass


class Disaster(Exception):  # noqa: N818 - stands for any
    """Whatever goes wrong in the middle of an experiment."""


def test_nothing_is_left_behind_by_a_failure(qemu: Path) -> None:
    pids: list[int] = []
    directories: list[Path] = []

    def fail() -> None:
        with pair(qemu) as machines:
            for each in machines:
                assert each.end is not None
                pids.extend((each.pid, each.end.pid))
                directories.append(each.directory)
            raise Disaster

    with pytest.raises(Disaster):
        fail()
    assert len(pids) == 4
    assert all(gone(pid) for pid in pids)
    assert not any(directory.exists() for directory in directories)


def test_processes_and_namespaces_end_with_a_killed_laboratory(qemu: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", STRAND, str(qemu)], stdout=subprocess.PIPE) as laboratory:
        assert laboratory.stdout is not None
        *pids, directory = laboratory.stdout.readline().decode().split()
        laboratory.send_signal(signal.SIGKILL)
    assert all(gone(int(pid)) for pid in pids)
    for leftover in Path(directory).iterdir():  # SIGKILL leaves the files: nobody was there to remove them
        leftover.unlink()
    Path(directory).rmdir()


STRAND = """
import sys, time
from pathlib import Path
from fakedirty.lab.machine import machine
from fakedirty.lab.network import shaped_network
with shaped_network() as network, machine("stranded", Path(sys.argv[1]), ["-S"], end=network.source) as stranded:
    print(stranded.pid, network.source.pid, network.destination.pid, stranded.directory, flush=True)
    time.sleep(60)
"""


def test_the_link_is_shaped() -> None:
    with shaped_network(200_000_000) as network:
        listed = network.source.run("tc", "qdisc", "show", "dev", "link0")
        assert "tbf" in listed
        assert "rate 200Mbit" in listed
        assert "destination" not in network.source.run("ip", "address")
        assert network.destination.address in network.destination.run("ip", "address")


def test_a_network_without_root_is_an_error() -> None:
    # root by name alone: the tree may lie where another user reads nothing
    command = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--", sys.executable, "-c", NETWORK]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "LabError" in done.stderr
    assert "needs root" in done.stderr


NETWORK = """
from fakedirty.lab.network import shaped_network
with shaped_network():
    pass
"""
