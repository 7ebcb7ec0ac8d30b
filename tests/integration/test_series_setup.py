"""What a migration is set up with: nothing of the one before it, and nothing for a mode that is off."""

from __future__ import annotations

import os
import re
import resource
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from fakedirty.lab.cleanup_retry import once_cleaned_up
from fakedirty.lab.guests.content import PAGE_BYTES
from fakedirty.lab.machine import Machine, machine
from fakedirty.lab.qemu import qemu_binary
from fakedirty.model.enums import Mode
from fakedirty.qmp.mode import set_mode
from jobs import finish
from library_calls import counting
from listener import drain, listening
from migrating import wait
from series import SLOW
from snapshots import create, snapshot

MEMORY_BYTES = 64 << 20
COPIES_BYTES = 64 * PAGE_BYTES  # as many as QEMU queues before it writes
NO_SUCH_CACHE = 1 << 60
STACK_KIB = 512
EVENT = "fake_dirty_mode"


def with_small_stacks(qemu: Path, directory: Path) -> Path:
    """A program that is `qemu`, whose threads each map little: they come and go with what it has to wait for."""
    program = directory / "qemu"
    program.write_text(f'#!/bin/sh\nulimit -S -s {STACK_KIB}\nexec {shlex.quote(str(qemu))} "$@"\n')
    program.chmod(0o755)
    return program


@contextmanager
def idle(directory: Path, more: Sequence[str] = ()) -> Iterator[Machine]:
    """A guest that does nothing, of some memory that has content."""
    memory = directory / "memory"
    memory.write_bytes(os.urandom(MEMORY_BYTES))
    backend = f"memory-backend-file,id=ram,size={MEMORY_BYTES},mem-path={memory},share=on"
    arguments = ["-machine", "none,memory-backend=ram", "-m", "64", "-object", backend, *more]
    with machine("idle", with_small_stacks(qemu_binary(), directory), arguments) as vm:
        vm.qmp.execute("migrate-set-parameters", {"avail-switchover-bandwidth": 1000, "max-bandwidth": SLOW // 10})
        yield vm


def status(vm: Machine) -> str:
    """Of its migration."""
    return str(vm.qmp.execute("query-migrate").get("status", "none"))


def set_capabilities(vm: Machine, capabilities: Mapping[str, bool]) -> None:
    """Turn capabilities on or off, as soon as that may be."""
    states = [{"capability": name, "state": state} for name, state in capabilities.items()]
    once_cleaned_up(lambda: vm.qmp.execute("migrate-set-capabilities", capabilities=states))


@contextmanager
def migrating(vm: Machine, place: Path) -> Iterator[None]:
    """A migration to somebody who takes it all; it is in its first round, and cancelled at the end."""
    with listening(place, drain):
        once_cleaned_up(lambda: vm.qmp.execute("migrate", uri=f"unix:{place}"))
        wait(lambda: vm.qmp.execute("query-migrate").get("ram", {}).get("normal", 0) > 0)
        yield
        vm.qmp.execute("migrate_cancel")
        wait(lambda: status(vm) == "cancelled")


def addresses(vm: Machine) -> int:
    """Bytes of all that QEMU has mapped."""
    return int(Path(f"/proc/{vm.pid}/statm").read_text().split()[0]) * resource.getpagesize()


def test_a_setup_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no memory for a cache of XBZRLE that large: RAM is not set up, and no tables are there any more.

    A toggle afterwards makes none, a snapshot has no rounds, and the next migration is like any other.
    """
    monkeypatch.setenv("MALLOC_ARENA_MAX", "1")  # else threads take 64 MiB of addresses each
    with idle(tmp_path) as vm:
        create(vm.qmp, tmp_path / "disk.qcow2")
        vm.qmp.execute("migrate-set-parameters", {"fake-dirty-mode": "skip", "fake-dirty-audit": True})
        set_capabilities(vm, {"xbzrle": True})
        cache = vm.qmp.execute("query-migrate-parameters")["xbzrle-cache-size"]
        before = addresses(vm)
        with listening(tmp_path / "socket", drain):
            vm.qmp.execute("migrate-set-parameters", {"xbzrle-cache-size": NO_SUCH_CACHE})
            vm.qmp.execute("migrate", uri=f"unix:{tmp_path / 'socket'}")
            wait(lambda: status(vm) == "failed")
        assert "cache" in vm.qmp.execute("query-migrate")["error-desc"]
        set_capabilities(vm, {"xbzrle": False})
        vm.qmp.execute("migrate-set-parameters", {"xbzrle-cache-size": cache})
        failed = vm.qmp.execute("query-migrate")["fake-dirty"]
        assert failed["table-bytes"] == failed["first"] == 0

        set_mode(vm.qmp, Mode.OFF)
        set_mode(vm.qmp, Mode.SKIP)
        assert addresses(vm) - before < MEMORY_BYTES / 2, "a table is at least as large as the memory, with copies"
        finish(vm.qmp, "snapshot-save", snapshot("after"))
        assert vm.qmp.execute("query-migrate")["fake-dirty"] == failed
        assert vm.qmp.execute("query-migration-rounds")["rounds"] == []
        with migrating(vm, tmp_path / "again"):
            # `ram` counts each page at once, `fake-dirty` when a time slice ends
            wait(lambda: vm.qmp.execute("query-migrate")["fake-dirty"]["first"] > 0)
            assert vm.qmp.execute("query-migrate")["fake-dirty"]["table-bytes"] > MEMORY_BYTES


def test_with_the_mode_off_there_are_no_copies(tmp_path: Path) -> None:
    """They are of one piece of aligned memory, and nothing else has its size."""
    asked = []
    with idle(tmp_path) as vm, counting(vm.pid, "posix_memalign", f"PT_REGS_PARM3(context) == {COPIES_BYTES}") as count:
        for number, mode in enumerate((Mode.OFF, Mode.OBSERVE, Mode.SKIP, Mode.OFF)):
            set_mode(vm.qmp, mode)
            before = count()
            with migrating(vm, tmp_path / f"to-{number}"):
                pass
            asked.append(count() - before)
    assert asked == [0, 1, 1, 0]


def test_the_second_migration_begins_with_no_round(tmp_path: Path) -> None:
    """The round in which a mode is adopted is traced: at the setup there is none yet."""
    with idle(tmp_path, ["-trace", EVENT]) as vm:
        set_mode(vm.qmp, Mode.SKIP)
        with migrating(vm, tmp_path / "first"):
            set_mode(vm.qmp, Mode.OBSERVE)
            wait(lambda: vm.qmp.execute("query-migrate")["fake-dirty"]["mode"] == "observe")
        with migrating(vm, tmp_path / "second"):
            pass
        said = re.findall(rf"\b{EVENT} (round \d+ from \w+ to \w+)", (vm.directory / "stderr.log").read_text())
    assert said == ["round 0 from off to skip", "round 1 from skip to observe", "round 0 from off to observe"]
