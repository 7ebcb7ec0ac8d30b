"""Between the state `failed` and the end of the migration thread nothing starts, and what comes after is right.

The thread is held between the two: the trace event that it is held in follows the change of its state, and what it
does next takes the BQL.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fakedirty.lab.guests.content import PAGE_BYTES
from fakedirty.lab.machine import Machine, machine
from fakedirty.lab.qemu import qemu_binary
from fakedirty.model.enums import Mode
from fakedirty.qmp.client import Qmp, QmpRefusedError
from fakedirty.qmp.mode import set_mode
from held_thread import Log, held, is_held, thread_of
from jobs import finish, outcome
from migrating import wait
from snapshots import DISK_BYTES, create, read, snapshot, write

MEMORY_BYTES = 32 << 20
SENT_BYTES = MEMORY_BYTES // 2
NEVER = 1000  # bytes/s: less than a page fits the downtime limit, and the migration fails in a round
EVENT = "migration_thread_file_err"
THREAD = "mig/src/main"


def monitor(qmp: Qmp, line: str) -> str:
    """What the monitor for humans answers."""
    return str(qmp.execute("human-monitor-command", {"command-line": line}))


def wrong_pages(now: bytes, content: bytes) -> list[int]:
    """Which pages, of the guest's memory or of its disk, differ from what they were."""
    assert len(now) == len(content)
    starts = range(0, len(content), PAGE_BYTES)
    return [at // PAGE_BYTES for at in starts if now[at : at + PAGE_BYTES] != content[at : at + PAGE_BYTES]]


def migrate(qmp: Qmp, listening: Path) -> str:
    """How `migrate` is refused; empty if it is not."""
    try:
        qmp.execute("migrate", uri=f"unix:{listening}")
    except QmpRefusedError as error:
        return error.reason
    return ""


Command = Callable[[Qmp, Path], str]
COMMANDS: dict[str, Command] = {
    "savevm": lambda qmp, _: monitor(qmp, "savevm another"),
    "loadvm": lambda qmp, _: monitor(qmp, "loadvm before"),
    "snapshot-save": lambda qmp, _: outcome(qmp, "snapshot-save", snapshot("another")),
    "snapshot-load": lambda qmp, _: outcome(qmp, "snapshot-load", snapshot("before")),
    "migrate": migrate,
}


@contextmanager
def failed_and_held(vm: Machine, log: Log, directory: Path) -> Iterator[Path]:
    """Migrate half of the memory, and then the destination is gone: the migration has failed, its thread is held."""
    listening = directory / "destination"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(listening))
        listener.listen()
        vm.qmp.execute("migrate", uri=f"unix:{listening}")
        destination, _ = listener.accept()
        with destination:
            for _ in range(SENT_BYTES // PAGE_BYTES):
                destination.recv(PAGE_BYTES, socket.MSG_WAITALL)
            thread = thread_of(vm.pid, THREAD)
            assert thread is not None
            with held(vm.pid, thread, log, directory / "strace"):
                destination.close()
                wait(lambda: vm.qmp.execute("query-migrate")["status"] == "failed")
                wait(lambda: is_held(vm.pid, thread))
                yield listening


@pytest.mark.parametrize("command", COMMANDS)
def test_nothing_starts_before_a_migration_that_has_failed_is_over(command: str, tmp_path: Path) -> None:
    memory, log = tmp_path / "memory", Log(tmp_path)
    content, data = os.urandom(MEMORY_BYTES), os.urandom(DISK_BYTES)
    memory.write_bytes(content)
    backend = f"memory-backend-file,id=ram,size={MEMORY_BYTES},mem-path={memory},share=on"
    arguments = ["-machine", "none,memory-backend=ram", "-m", "32", "-object", backend, *log.arguments(EVENT)]
    with machine("failed", qemu_binary(), arguments) as vm:
        set_mode(vm.qmp, Mode.SKIP)
        vm.qmp.execute("migrate-set-parameters", {"avail-switchover-bandwidth": NEVER})
        create(vm.qmp, tmp_path / "disk.qcow2")
        write(vm.qmp, tmp_path / "raw", data)
        finish(vm.qmp, "snapshot-save", snapshot("before"))
        with failed_and_held(vm, log, tmp_path) as listening:
            assert "has not been cleaned up yet" in COMMANDS[command](vm.qmp, listening)

        while "not been cleaned up" in (said := outcome(vm.qmp, "snapshot-save", snapshot("after"))):
            time.sleep(0.01)
        assert not said
        memory.write_bytes(bytes(MEMORY_BYTES))
        write(vm.qmp, tmp_path / "raw", bytes(DISK_BYTES))
        finish(vm.qmp, "snapshot-load", snapshot("after"))
        assert wrong_pages(memory.read_bytes(), content) == []
        assert wrong_pages(read(vm.qmp, tmp_path / "raw"), data) == []
