"""Probes that all QEMUs of an executable share: each is counted by itself, and leaves nothing behind."""

from __future__ import annotations

import ctypes
import errno
import itertools
import os
import resource
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import pytest
from fakedirty.errors import TargetError
from fakedirty.lab.qemu import qemu_binary, stock_binary
from fakedirty.linux.uprobe import BpfError, attach
from fakedirty.model.enums import Level
from fakedirty.model.trace import Channel
from fakedirty.observe.bpf.attachment import Attachment
from fakedirty.observe.bpf.attachments import Attachments
from fakedirty.observe.bpf.buffer_sizes import DEFAULT, BufferSizes
from fakedirty.observe.bpf.observed_processes import PROCESSES
from fakedirty.observe.decode import wire
from fakedirty.observe.host.target import Target, by_pid, find_all
from fakedirty.observe.live import LiveTrace
from fakedirty.observe.observer import Observer
from in_kernel import exists, held, maps
from migrating import SLOW, Notes, Pair, pair, running, wait

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: for BPF")

BINARIES = {Level.PATCHED: qemu_binary, Level.USDT: qemu_binary, Level.STOCK: stock_binary}
MODULES = "/usr/lib/x86_64-linux-gnu/qemu"  # Debian's QEMU looks for them beside itself
PAGES, LATE = wire.LOST_PLACES[1], wire.LOST_PLACES[wire.LOST_LATE]


@contextmanager
def shared() -> Iterator[Attachments]:
    attachments = Attachments(every_process=True)
    yield attachments
    attachments.close()


@contextmanager
def two(level: Level, directory: Path) -> Iterator[list[Pair]]:
    with ExitStack() as stack:
        vms = []
        for name in ("one", "other"):
            (directory / name).mkdir()
            vms.append(stack.enter_context(pair(BINARIES[level](), directory / name, name=name)))
        yield vms


def observed(
    vm: Pair,
    level: Level,
    attachments: Attachments,
    notes: Notes,
    *,
    sizes: BufferSizes = DEFAULT,
    stalled: threading.Event | None = None,
) -> AbstractContextManager[Observer]:
    trace = LiveTrace(
        by_pid(vm.source.pid),
        level,
        pages=True,
        monitor=vm.source.observer_socket,
        sizes=sizes,
        attachments=attachments,
    )
    return running(Observer(trace, [notes]), stalled)


def migrate(vms: list[Pair], level: Level) -> None:
    """All at once."""
    mode = {"fake_dirty_mode": "observe"} if level is Level.PATCHED else {}
    for vm in vms:
        vm.migrate(max_bandwidth=SLOW, downtime_limit=1, **mode)
    for vm in vms:
        vm.wait_for_syncs(3)
    for vm in vms:
        vm.converge()


def check(vm: Pair, notes: Notes) -> None:
    [migration] = notes.over
    assert migration.valid, [each.invalid_reason for each in migration.rounds]
    ram = vm.info()["ram"]
    assert migration.total("normal_pages") == ram["normal"]
    assert migration.total("zero_pages") == ram["duplicate"]
    assert migration.total("fake_pages")
    assert sum(len(batch.records) // 16 for batch in notes.batches) == migration.total("visited_pages")


def in_kernel() -> list[str]:
    return held("bpf", "perf")


def one_more(before: list[str]) -> list[str]:
    """With the map of one more process."""
    return sorted([*before, "anon_inode:bpf-map"])


def the_one(attachments: Attachments) -> Attachment:
    [attachment] = attachments._by_build.values()
    assert isinstance(attachment, Attachment)
    return attachment


@pytest.mark.parametrize("level", BINARIES, ids=str)
def test_two_migrate_at_once_through_the_same_probes(level: Level, tmp_path: Path) -> None:
    nothing = in_kernel()
    with two(level, tmp_path) as vms, shared() as attachments:
        notes = [Notes(), Notes()]
        with observed(vms[0], level, attachments, notes[0]):
            once = in_kernel()
            assert once != nothing
            with observed(vms[1], level, attachments, notes[1]):
                assert in_kernel() == one_more(once), "the second one of a build takes no program or probe"
                migrate(vms, level)
                for each in notes:
                    wait(lambda each=each: len(each.over) == 1)  # type: ignore[misc]
            assert in_kernel() == once
        assert in_kernel() == nothing
        for vm, each in zip(vms, notes, strict=True):
            check(vm, each)


@contextmanager
def layers(image: Path, directory: Path) -> Iterator[Path]:
    """A layered file system over a directory, as a container has one."""
    places = [directory / name for name in ("upper", "work", "merged")]
    for place in places:
        place.mkdir(parents=True)
    upper, work, merged = places
    options = f"lowerdir={image},upperdir={upper},workdir={work}"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, merged], check=True)
    try:
        yield merged
    finally:
        subprocess.run(["umount", merged], check=True)


@pytest.mark.parametrize("level", [Level.PATCHED, Level.STOCK], ids=str)
def test_one_file_under_two_inodes_is_counted_once(
    level: Level, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two containers of one image."""
    monkeypatch.setenv("QEMU_MODULE_DIR", MODULES)
    image = tmp_path / "image"
    image.mkdir()
    shutil.copy2(BINARIES[level](), image / "qemu")
    notes = [Notes(), Notes()]
    with ExitStack() as stack:
        vms = []
        for name in ("one", "other"):
            merged = stack.enter_context(layers(image, tmp_path / "layers" / name))
            (tmp_path / name).mkdir()
            vms.append(stack.enter_context(pair(merged / "qemu", tmp_path / name, name=name)))
        assert vms[0].qemu.stat().st_dev != vms[1].qemu.stat().st_dev
        attachments = stack.enter_context(shared())
        stack.enter_context(observed(vms[0], level, attachments, notes[0]))
        once = in_kernel()
        stack.enter_context(observed(vms[1], level, attachments, notes[1]))
        assert in_kernel() == one_more(once)
        migrate(vms, level)
        for vm, each in zip(vms, notes, strict=True):
            wait(lambda each=each: len(each.over) == 1)  # type: ignore[misc]
            check(vm, each)


def test_a_file_whose_links_or_rights_change_is_counted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a package manager changes them, and a backup."""
    monkeypatch.setenv("QEMU_MODULE_DIR", MODULES)
    executable = tmp_path / "qemu"
    shutil.copy2(stock_binary(), executable)
    notes = [Notes(), Notes()]
    with ExitStack() as stack:
        attachments = stack.enter_context(shared())
        vms = []
        for name, note in zip(("one", "other"), notes, strict=True):
            (tmp_path / name).mkdir()
            vms.append(stack.enter_context(pair(executable, tmp_path / name, name=name)))
            stack.enter_context(observed(vms[-1], Level.STOCK, attachments, note))
            (tmp_path / f"{name}-link").hardlink_to(executable)
        migrate(vms, Level.STOCK)
        for vm, each in zip(vms, notes, strict=True):
            wait(lambda each=each: len(each.over) == 1)  # type: ignore[misc]
            check(vm, each)


@pytest.mark.parametrize("level", [Level.PATCHED, Level.STOCK], ids=str)
def test_what_one_loses_is_not_lost_to_the_other(level: Level, tmp_path: Path) -> None:
    notes, stalled = [Notes(), Notes()], threading.Event()
    stalled.set()
    sizes = BufferSizes(page_ring=64)  # a quarter of a MiB, of which one guest's records fill many
    with (
        two(level, tmp_path) as vms,
        shared() as attachments,
        observed(vms[0], level, attachments, notes[0], sizes=sizes, stalled=stalled),
        observed(vms[1], level, attachments, notes[1], sizes=sizes),
    ):
        migrate(vms, level)
        wait(lambda: len(notes[1].over) == 1)
        stalled.clear()
        wait(lambda: len(notes[0].over) == 1)
        check(vms[1], notes[1])
    [late], [other] = notes[0].over, notes[1].over
    assert set(late.lost_events) <= {PAGES, LATE}
    assert late.lost_events[LATE]
    assert not late.valid
    assert not other.lost_events


def test_one_that_is_not_observed_is_not_counted(tmp_path: Path) -> None:
    """It runs the same probed executable, and migrates."""
    notes = Notes()
    with (
        two(Level.STOCK, tmp_path) as vms,
        shared() as attachments,
        observed(vms[0], Level.STOCK, attachments, notes) as observer,
    ):
        vms[1].migrate(max_bandwidth=1 << 40, downtime_limit=10_000)
        vms[1].converge()
        assert observer.seen == 0
        migrate(vms[:1], Level.STOCK)
        wait(lambda: len(notes.over) == 1)
        check(vms[0], notes)


@contextmanager
def beside(vm: Pair, attachments: Attachments, count: int) -> Iterator[list[Target]]:
    """Processes that have places of its source, though none has their ids: they are beyond the kernel's highest."""
    entered, observed = [], the_one(attachments)._observed
    [first, *_] = wire.places_of(vm.source.pid)
    for pid in itertools.islice((each for each in range(1 << 22, 1 << 32) if wire.places_of(each)[0] == first), count):
        entered.append(Target(pid, f"vm{pid}", Path("exe"), "qemu", 1, ()))
        observed.enter(entered[-1], PROCESSES - len(entered))
    yield entered
    for each in entered:
        observed.leave(each.pid)


@pytest.mark.parametrize("level", BINARIES, ids=str)
def test_one_whose_places_collide_with_others_is_counted_by_itself(level: Level, tmp_path: Path) -> None:
    notes = [Notes(), Notes()]
    with (
        two(level, tmp_path) as vms,
        shared() as attachments,
        observed(vms[0], level, attachments, notes[0]),
        beside(vms[1], attachments, wire.PLACES_TRIED - 1),
        observed(vms[1], level, attachments, notes[1]),
    ):
        migrate(vms, level)
        for vm, each in zip(vms, notes, strict=True):
            wait(lambda each=each: len(each.over) == 1)  # type: ignore[misc]
            check(vm, each)


def test_one_whose_places_are_all_taken_is_refused_by_name(tmp_path: Path) -> None:
    notes = [Notes(), Notes()]
    with (
        two(Level.STOCK, tmp_path) as vms,
        shared() as attachments,
        observed(vms[0], Level.STOCK, attachments, notes[0]),
    ):
        once = in_kernel()
        with beside(vms[1], attachments, wire.PLACES_TRIED) as others:
            refused = LiveTrace(by_pid(vms[1].source.pid), Level.STOCK, pages=True, attachments=attachments)
            with pytest.raises(TargetError, match=f"pid {vms[1].source.pid}") as caught:
                refused.open()
            assert all(str(other.pid) in str(caught.value) for other in others)
        assert in_kernel() == once
        with observed(vms[1], Level.STOCK, attachments, notes[1]):
            migrate(vms, Level.STOCK)
            for vm, each in zip(vms, notes, strict=True):
                wait(lambda each=each: len(each.over) == 1)  # type: ignore[misc]
                check(vm, each)


def test_one_that_is_released_leaves_no_map_in_the_kernel(tmp_path: Path) -> None:
    with two(Level.STOCK, tmp_path) as vms, shared() as attachments:
        before = maps()
        traces = [LiveTrace(by_pid(vm.source.pid), Level.STOCK, attachments=attachments) for vm in vms]
        traces[0].open()
        of_one = maps() - before
        traces[1].open()
        [own] = maps() - before - of_one
        assert exists(own)
        traces[1].close()
        assert not exists(own)
        traces[1].open()  # its place, and another slot
        [own] = maps() - before - of_one
        for trace in traces:
            trace.close()
        assert maps() == before
        wait(lambda: not any(exists(number) for number in {own, *of_one}))


def kept(attachments: Attachments) -> int:
    """Chunks of pages whose last content the kernel keeps."""
    return len(list(the_one(attachments)._bpf.map("sent_pages").keys(ctypes.sizeof(wire.ChunkKey))))


def test_what_was_sent_is_forgotten_when_a_migration_is_over(tmp_path: Path) -> None:
    notes = [Notes(), Notes()]
    with (
        two(Level.USDT, tmp_path) as vms,
        shared() as attachments,
        observed(vms[0], Level.USDT, attachments, notes[0]),
        observed(vms[1], Level.USDT, attachments, notes[1]),
    ):
        assert kept(attachments) == 0
        for vm in vms:
            vm.migrate(max_bandwidth=SLOW, downtime_limit=1)
            vm.wait_for_syncs(3)
        both = kept(attachments)
        assert both
        vms[0].converge()
        wait(lambda: kept(attachments) < both)
        assert kept(attachments), "the other one still migrates"
        vms[1].wait_for_syncs(5)
        vms[1].converge()
        wait(lambda: kept(attachments) == 0)
        wait(lambda: all(each.over for each in notes))
        check(vms[1], notes[1])


def refused(call: Callable[[], object]) -> int:
    with pytest.raises(BpfError) as caught:
        call()
    assert errno.errorcode[caught.value.errno] in str(caught.value)
    return caught.value.errno


PROGRAM = """
import sys, resource
from fakedirty.linux import uprobe
from fakedirty.linux.uprobe import BpfError, attach
from pathlib import Path
soft = int(sys.argv[1])
if soft:
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, soft))
    held = []
    try:
        while True:
            held.append(open("/dev/null"))
    except OSError:
        pass
    uprobe._event_type = lambda *_: int(sys.argv[2])
try:
    attach(0, Path("/bin/true"), 0x1000)
except BpfError as error:
    print(error.errno)
"""


def errno_of(*arguments: str, before: tuple[str, ...] = ()) -> int:
    done = subprocess.run(
        [*before, sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


def test_the_kernel_s_own_reason_is_known(tmp_path: Path) -> None:
    assert refused(lambda: attach(0, tmp_path / "absent", 0)) == errno.ENOENT
    kind = Path("/sys/bus/event_source/devices/uprobe/type").read_text().strip()
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert soft > 64
    assert errno_of("64", kind) == errno.EMFILE
    without = ("setpriv", "--bounding-set=-all", "--inh-caps=-all", "--")
    assert errno_of("0", kind, before=without) in (errno.EPERM, errno.EACCES)
    # a descriptor that is no program of BPF
    with open("/dev/null") as nothing:
        assert refused(lambda: attach(nothing.fileno(), Path(sys.executable), 0x1000)) == errno.EINVAL


LOADING = """
#include <unistd.h>
unsigned int la_version(unsigned int version) { sleep(1); return version; }
"""


@pytest.mark.parametrize("level", BINARIES, ids=str)
def test_one_whose_loader_is_at_work_is_observed_as_others_are(level: Level, tmp_path: Path) -> None:
    """The executable is mapped, and its tables of names have no addresses yet."""
    library = tmp_path / "loading.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-x", "c", "-o", library, "-"], input=LOADING, text=True, check=True)
    command = [BINARIES[level](), "-machine", "none", "-nodefaults", "-display", "none", "-S"]
    with shared() as attachments, subprocess.Popen(command, env={"LD_AUDIT": str(library)}) as process:
        try:
            wait(lambda: process.pid in {target.pid for target in find_all()})
            trace = LiveTrace(by_pid(process.pid), level, attachments=attachments)
            trace.open()
            assert Channel.PEER in {record.channel for record in trace.poll(0)}, "its run states are followed"
            trace.close()
        finally:
            process.kill()
