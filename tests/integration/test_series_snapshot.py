"""A snapshot into a disk is no migration to be skipped in: with the mode on, nothing is hashed or allocated for it."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import pytest
from fakedirty.lab.guests.content import PAGE_BYTES
from fakedirty.lab.machine import machine
from fakedirty.lab.qemu import qemu_binary
from fakedirty.model.enums import Mode
from fakedirty.qmp.mode import set_mode
from jobs import finish, outcome
from migrating import wait
from snapshots import create, snapshot

MEMORY_BYTES = 32 << 20
SNAPSHOT = snapshot("one")


@pytest.mark.parametrize("mode", [Mode.OBSERVE, Mode.SKIP])
def test_a_snapshot_is_taken_and_loaded_with_the_mode_on(mode: Mode, tmp_path: Path) -> None:
    with machine("snapshot", qemu_binary(), ["-m", "16", "-S"]) as vm:
        set_mode(vm.qmp, mode)
        create(vm.qmp, tmp_path / "disk.qcow2")
        finish(vm.qmp, "snapshot-save", SNAPSHOT)
        assert "fake-dirty" not in vm.qmp.execute("query-migrate")
        assert vm.qmp.execute("query-migration-rounds")["rounds"] == []
        finish(vm.qmp, "snapshot-load", SNAPSHOT)
        vm.check_alive()


def test_a_snapshot_after_a_migration_that_failed_has_all_of_the_memory(tmp_path: Path) -> None:
    """What was sent to a destination that is lost is not in the snapshot: nothing is skipped for it."""
    memory, listening = tmp_path / "memory", tmp_path / "socket"
    content = os.urandom(MEMORY_BYTES)
    memory.write_bytes(content)
    backend = f"memory-backend-file,id=ram,size={MEMORY_BYTES},mem-path={memory},share=on"
    arguments = ["-machine", "none,memory-backend=ram", "-m", "32", "-object", backend]
    with machine("failed", qemu_binary(), arguments) as vm, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(listening))
        listener.listen(1)
        set_mode(vm.qmp, Mode.SKIP)
        create(vm.qmp, tmp_path / "disk.qcow2")
        vm.qmp.execute("migrate", uri=f"unix:{listening}")
        destination, _ = listener.accept()
        with destination:
            for _ in range(MEMORY_BYTES // 2 // PAGE_BYTES):
                destination.recv(PAGE_BYTES, socket.MSG_WAITALL)
        wait(lambda: vm.qmp.execute("query-migrate")["status"] == "failed")
        assert vm.qmp.execute("query-migrate")["fake-dirty"]["first"] > 0
        while "not been cleaned up" in (said := outcome(vm.qmp, "snapshot-save", SNAPSHOT)):
            time.sleep(0.01)
        assert not said
        memory.write_bytes(bytes(MEMORY_BYTES))
        finish(vm.qmp, "snapshot-load", SNAPSHOT)
        assert memory.read_bytes() == content
