"""Nothing starts before the last migration is gone: what would share its state is refused until its thread ended."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from fakedirty.lab.machine import machine
from fakedirty.lab.qemu import qemu_binary
from fakedirty.qmp import refusals
from fakedirty.qmp.client import QmpRefusedError
from jobs import outcome
from migrating import wait
from migration_thread import waits_to_send

MEMORY_BYTES = 1 << 30
DATA_BYTES = 640 << 10  # more than a socket takes, and not so much that the migration thread waits for a channel
CHANNELS = 2  # the main one and one of multifd
SNAPSHOT = {"tag": "one", "vmstate": "disk", "devices": ["disk"]}


def test_a_migration_that_has_failed_is_cleaned_up_before_anything_else_starts(tmp_path: Path) -> None:
    """A channel of multifd that breaks makes a migration fail, while its thread waits for the main channel."""
    memory, listening = tmp_path / "memory", tmp_path / "socket"
    with memory.open("wb") as file:
        file.write(b"\xa5" * DATA_BYTES)
        file.truncate(MEMORY_BYTES)
    backend = f"memory-backend-file,id=ram,size={MEMORY_BYTES},mem-path={memory}"
    arguments = ["-machine", "none,memory-backend=ram", "-m", "1G", "-object", backend]
    with (
        machine("failed", qemu_binary(), arguments) as vm,
        socket.socket(socket.AF_UNIX) as listener,
    ):
        listener.bind(str(listening))
        listener.listen(CHANNELS)
        vm.qmp.execute("migrate-set-capabilities", capabilities=[{"capability": "multifd", "state": True}])
        # zero pages by the main channel, all others by multifd's
        vm.qmp.execute("migrate-set-parameters", {"multifd-channels": 1, "zero-page-detection": "legacy"})
        vm.qmp.execute("migrate", uri=f"unix:{listening}")
        (main, _), (channel, _) = listener.accept(), listener.accept()
        wait(lambda: waits_to_send(vm.pid))
        channel.close()
        wait(lambda: vm.qmp.execute("query-migrate")["status"] == "failed")

        with pytest.raises(QmpRefusedError) as refused:
            vm.qmp.execute("migrate", uri=f"unix:{listening}")
        assert refusals.not_cleaned_up(refused.value)
        for command in ("snapshot-save", "snapshot-load"):
            assert "not been cleaned up" in outcome(vm.qmp, command, SNAPSHOT)

        main.close()
        # and then there is but the disk that is not there
        wait(lambda: "not been cleaned up" not in outcome(vm.qmp, "snapshot-save", SNAPSHOT))
        vm.check_alive()
