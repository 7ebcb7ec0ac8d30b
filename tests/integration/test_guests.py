"""The ground-truth guests in a real QEMU: what they report of their memory is what is in it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from fakedirty.errors import LabError, UsageError
from fakedirty.lab.accelerator import choose_accelerator
from fakedirty.lab.guests.content import PAGE_BYTES, check_content, status_of
from fakedirty.lab.guests.page_frames import frame_numbers
from fakedirty.lab.guests.recipes import GUESTS, BuiltGuest, build_guest
from fakedirty.lab.guests.serial_report import GuestReport, read_report, wait_for_report
from fakedirty.lab.guests.workload import PROBE, Workload, place
from fakedirty.lab.machine import INCOMING, Machine, machine
from fakedirty.lab.migrate import Settings, migrate
from fakedirty.lab.network import shaped_network
from fakedirty.lab.qemu import stock_binary
from fakedirty.package_files import carried

SMALL = Workload(fake=300, changed=200, zero=100, aba=100, phased=100, untouched=200, pause_ms=5, memory_mib=64)
STRIDED = Workload(fake=100, changed=50, zero=50, aba=50, phased=50, untouched=50, pause_ms=5, memory_mib=64, stride=3)
OF_TEXT = replace(STRIDED, parts=5, text=7)
IN_LINUX = Workload(
    fake=6_000, changed=2_000, zero=1_000, aba=1_000, phased=1_000, untouched=2_000, pause_ms=5, memory_mib=256
)

Memory = npt.NDArray[np.uint32]


@pytest.fixture(scope="module")
def baremetal() -> BuiltGuest:
    return build_guest("baremetal")


@contextmanager
def running(
    guest: BuiltGuest, workload: Workload, directory: Path, accelerator: str = "tcg"
) -> Iterator[tuple[Machine, Path]]:
    """A guest that has swept for a while."""
    serial = directory / "serial.log"
    arguments = guest.qemu_arguments(workload, serial)
    with machine("guest", stock_binary(), arguments, accelerator=accelerator) as vm:
        wait_for_report(
            serial,
            lambda report: report.ready and bool(report.sweeps),
            seconds=guest.guest.ready_seconds,
            check_alive=vm.check_alive,
        )
        yield vm, serial


def memory_of(vm: Machine, workload: Workload, directory: Path) -> Memory:
    """The guest's physical memory, as QEMU writes it out."""
    file = directory / "memory"
    size = workload.memory_mib << 20
    vm.qmp.execute("pmemsave", val=0, size=size, filename=str(file))
    memory = np.fromfile(file, np.uint32).reshape(-1, PAGE_BYTES // 4)
    file.unlink()
    assert memory.nbytes == size
    return memory


def check_twice(vm: Machine, serial: Path, workload: Workload, directory: Path) -> tuple[Memory, Memory, GuestReport]:
    """The memory at two stops, both of which hold what the sweeps of then left; the guest swept in between."""
    stops = []
    for _ in range(2):
        vm.qmp.execute("stop")
        report = read_report(serial)
        memory = memory_of(vm, workload, directory)
        content = check_content(memory, report)
        assert content.right, str(content)
        assert content.pages == sum(workload.counts.values())
        stops.append((memory, content.status))
        vm.qmp.execute("cont")
        seen = len(report.sweeps)
        report = wait_for_report(serial, lambda report: len(report.sweeps) > seen, seconds=60)  # noqa: B023
    assert stops[1][1].sweep > stops[0][1].sweep
    assert {name: len(frames) for name, frames in report.sets.items()} == workload.counts
    return stops[0][0], stops[1][0], report


def check_exact(guest: BuiltGuest, workload: Workload, directory: Path, accelerator: str = "tcg") -> None:
    """The guest writes the frames that it was told and its own, and nobody writes any other."""
    with running(guest, workload, directory, accelerator) as (vm, serial):
        first, second, report = check_twice(vm, serial, workload, directory)
    assert report.ranges == {name: [frames] for name, frames in place(workload).items()}
    own = frame_numbers(report.own)
    assert report.status_frame in own
    differing = np.flatnonzero((first != second).any(axis=1))
    written = [report.frames(name) for name in ("changed", "zero", "aba", "phased")]
    assert np.isin(report.frames("changed"), differing).all()
    assert np.isin(differing, np.concatenate([own, *written])).all()


@pytest.mark.parametrize("workload", [SMALL, STRIDED, OF_TEXT], ids=["contiguous", "strided", "of text, in parts"])
def test_bare_metal_writes_what_it_is_told_and_nothing_else(
    baremetal: BuiltGuest, workload: Workload, tmp_path: Path
) -> None:
    check_exact(baremetal, workload, tmp_path)


def test_fake_pages_are_really_written(baremetal: BuiltGuest, tmp_path: Path) -> None:
    """A word broken from outside is mended by the next sweep; in an untouched page it stays broken."""
    with running(baremetal, SMALL, tmp_path) as (vm, serial):
        report = read_report(serial)
        frames = [int(report.frames(name)[7]) for name in ("fake", "untouched")]
        vm.qmp.execute("stop")
        before = memory_of(vm, SMALL, tmp_path)
        for frame in frames:
            poke(vm, before, frame)
        broken = memory_of(vm, SMALL, tmp_path)
        wrong = check_content(broken, report).wrong
        assert {name: wrong[name].tolist() for name in wrong} == {"fake": [frames[0]], "untouched": [frames[1]]}
        vm.qmp.execute("cont")
        swept = status_of(before, report.status_frame or 0).sweep + 2
        wait_for_report(serial, lambda report: report.sweeps[-1].done > swept, seconds=60, check_alive=vm.check_alive)
        vm.qmp.execute("stop")
        assert list(check_content(memory_of(vm, SMALL, tmp_path), report).wrong) == ["untouched"]


def poke(vm: Machine, memory: Memory, frame: int) -> None:
    """Break the cell of a page, in the memory of the QEMU process: the guest is not told."""
    cell = frame * 37 % (PAGE_BYTES // 4)
    said = vm.qmp.execute("human-monitor-command", {"command-line": f"gpa2hva {frame * PAGE_BYTES + cell * 4:#x}"})
    address = int(said.split()[-1], 16)
    with Path(f"/proc/{vm.pid}/mem").open("r+b", buffering=0) as process:
        process.seek(address)
        process.write(int(memory[frame, cell] ^ 0xFFFF).to_bytes(4, "little"))


def test_bare_metal_keeps_its_pace(baremetal: BuiltGuest, tmp_path: Path) -> None:
    """Never faster than the pause allows, by the guest's own clock; how fast it is depends on the machine."""
    workload = Workload(fake=10, pause_ms=50, memory_mib=64)
    with running(baremetal, workload, tmp_path) as (_, serial):
        sweeps = read_report(serial).sweeps[-1]
    assert sweeps.done * workload.pause_ms <= sweeps.milliseconds
    assert sweeps.longest_ms >= workload.pause_ms


def test_bare_metal_under_kvm_where_that_runs_it(
    baremetal: BuiltGuest, tmp_path: Path, record_property: pytest.RecordProperty
) -> None:
    accelerator = choose_accelerator(stock_binary(), baremetal)
    record_property("accelerator", str(accelerator))
    print(f"accelerator: {accelerator}")
    check_exact(baremetal, SMALL, tmp_path, accelerator.name)


def test_a_migrated_guest_holds_what_it_must_and_goes_on(baremetal: BuiltGuest, tmp_path: Path) -> None:
    logs = {side: tmp_path / f"{side}.log" for side in ("source", "destination")}
    arguments = {side: baremetal.qemu_arguments(SMALL, log) for side, log in logs.items()}
    with (
        shaped_network() as network,
        machine("source", stock_binary(), arguments["source"], end=network.source) as source,
        machine("arrived", stock_binary(), [*arguments["destination"], *INCOMING], end=network.destination) as arrived,
    ):
        wait_for_report(logs["source"], lambda report: bool(report.sweeps), seconds=60, check_alive=source.check_alive)
        assert migrate(source, arrived, Settings(), time_limit=60).status == "completed"
        report = read_report(logs["source"])
        content = check_content(memory_of(arrived, SMALL, tmp_path), report)
        assert content.right, str(content)
        assert content.status.sweep >= report.sweeps[-1].done
        arrived.qmp.execute("cont")
        wait_for_report(
            logs["destination"], lambda report: len(report.sweeps) > 1, seconds=60, check_alive=arrived.check_alive
        )
        assert read_report(logs["destination"]).sweeps[-1].done > content.status.done


def test_a_guest_without_kvm_gets_tcg(baremetal: BuiltGuest, tmp_path: Path) -> None:
    accelerator = choose_accelerator(stock_binary(), baremetal, kvm=tmp_path / "absent")
    assert accelerator.name == "tcg"
    assert "there is no" in str(accelerator)


def test_a_guest_that_does_not_answer_under_kvm_gets_tcg(baremetal: BuiltGuest) -> None:
    accelerator = choose_accelerator(stock_binary(), baremetal, seconds=0)
    assert accelerator.name == "tcg"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("fake=1024+10 speed=3", "unknown word speed=3"),
        ("fake=1024", "no count in 1024"),
        ("fake=x", "no number at x"),
        ("fake=1024+999999999", "not within free memory"),
        ("fake=100+10", "not within free memory"),
        ("fake=1024+10*0", "not within free memory"),
        ("fake=1024+10x", "trailing characters"),
        ("fake=1024+10 parts=0", "out of range"),
        ("text=16 fake=1024+10", "out of range"),
    ],
)
def test_bare_metal_refuses_what_it_does_not_understand(
    baremetal: BuiltGuest, tmp_path: Path, words: str, said: str
) -> None:
    serial = tmp_path / "serial.log"
    arguments = baremetal.qemu_arguments(PROBE, serial)
    arguments[arguments.index("-append") + 1] = words
    with machine("guest", stock_binary(), arguments) as vm:
        report = wait_for_report(serial, lambda report: bool(report.error), seconds=120, check_alive=vm.check_alive)
    assert said in report.error


@pytest.mark.parametrize("workload", [IN_LINUX, replace(IN_LINUX, parts=3, text=6)], ids=["plain", "of text, in parts"])
def test_linux_says_where_its_pages_are(workload: Workload, tmp_path: Path) -> None:
    guest = build_guest("linux")
    with running(guest, workload, tmp_path) as (vm, serial):
        check_twice(vm, serial, workload, tmp_path)


def test_linux_says_what_it_does_not_understand(tmp_path: Path) -> None:
    guest = build_guest("linux")
    serial = tmp_path / "serial.log"
    arguments = guest.qemu_arguments(IN_LINUX, serial)
    arguments[arguments.index("-append") + 1] += " speed=3"
    with (
        machine("guest", stock_binary(), arguments) as vm,
        pytest.raises(LabError, match="reports an error: unknown word speed="),
    ):
        wait_for_report(serial, lambda report: report.ready, seconds=240, check_alive=vm.check_alive)


def test_every_guest_is_built_once(tmp_path: Path) -> None:
    first = build_guest("baremetal", cache=tmp_path)
    kernel = first.directory / "kernel"
    made = kernel.stat().st_mtime_ns
    time.sleep(0.01)
    assert build_guest("baremetal", cache=tmp_path) == first
    assert kernel.stat().st_mtime_ns == made
    assert [path.name for path in (tmp_path / "guests").iterdir()] == [first.directory.name]


def test_another_source_is_another_build(tmp_path: Path) -> None:
    sources = tmp_path / "sources"
    shutil.copytree(carried("guests"), sources)
    first = build_guest("baremetal", cache=tmp_path, sources=sources)
    with (sources / "pages.h").open("a") as header:
        header.write("/* changed */\n")
    assert build_guest("baremetal", cache=tmp_path, sources=sources).directory != first.directory


def test_a_build_that_fails_leaves_nothing_and_says_what_it_needs(tmp_path: Path) -> None:
    sources = tmp_path / "sources"
    shutil.copytree(carried("guests"), sources)
    (sources / "baremetal" / "guest.c").write_text("no C at all\n")
    with pytest.raises(LabError, match=r"(?s)guest\.c.*it needs the packages gcc"):
        build_guest("baremetal", cache=tmp_path, sources=sources)
    assert not list((tmp_path / "guests").iterdir())


def test_an_unknown_guest_is_refused_with_those_there_are() -> None:
    with pytest.raises(UsageError, match=", ".join(GUESTS)):
        build_guest("windows")
