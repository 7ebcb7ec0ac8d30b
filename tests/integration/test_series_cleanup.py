"""Nothing starts before the last migration is gone: what would share its state is refused until its thread ended."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from fakedirty.lab.machine import Machine, machine
from fakedirty.lab.migration_thread import waits_to_send
from fakedirty.lab.qemu import qemu_binary
from fakedirty.qmp import refusals
from fakedirty.qmp.client import Qmp, QmpRefusedError
from jobs import outcome
from migrating import wait

MEMORY_BYTES = 1 << 30
DATA_BYTES = 640 << 10  # more than a socket takes, and not so much that the migration thread waits for a channel
CHANNELS = 2  # the main one and one of multifd
ROUNDS = 20
SNAPSHOT = {"tag": "one", "vmstate": "disk", "devices": ["disk"]}


@dataclass(frozen=True)
class Window:
    """A QEMU whose migration has failed and is not cleaned up, for as long as `main`, its main channel, is open."""

    vm: Machine
    listener: socket.socket
    uri: str
    main: socket.socket

    def close(self) -> None:
        """Let it be cleaned up, and wait until it is."""
        self.main.close()
        # and then there is but the disk that is not there
        wait(lambda: "not been cleaned up" not in outcome(self.vm.qmp, "snapshot-save", SNAPSHOT))


@contextmanager
def window(directory: Path) -> Iterator[Window]:
    """A channel of multifd that breaks makes a migration fail, while its thread waits for the main channel."""
    memory, listening = directory / "memory", directory / "socket"
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
        enable(vm.qmp, "multifd")
        # zero pages by the main channel, all others by multifd's
        vm.qmp.execute("migrate-set-parameters", {"multifd-channels": 1, "zero-page-detection": "legacy"})
        vm.qmp.execute("migrate", uri=f"unix:{listening}")
        (main, _), (channel, _) = listener.accept(), listener.accept()
        wait(lambda: waits_to_send(vm.pid))
        channel.close()
        wait(lambda: vm.qmp.execute("query-migrate")["status"] == "failed")
        with main:
            yield Window(vm, listener, f"unix:{listening}", main)


def enable(qmp: Qmp, name: str, state: bool = True) -> None:
    qmp.execute("migrate-set-capabilities", capabilities=[{"capability": name, "state": state}])


def set_to(qmp: Qmp) -> tuple[str, set[str]]:
    """The mode, and the capabilities that are on."""
    capabilities = qmp.execute("query-migrate-capabilities")
    on = {str(each["capability"]) for each in capabilities if each["state"]}
    return str(qmp.execute("query-migrate-parameters")["fake-dirty-mode"]), on


def assert_refused(qmp: Qmp, uri: str) -> None:
    """The next migration, for what is left of the last one."""
    with pytest.raises(QmpRefusedError) as refused:
        qmp.execute("migrate", uri=uri)
    assert refusals.not_cleaned_up(refused.value)


def test_a_migration_that_has_failed_is_cleaned_up_before_anything_else_starts(tmp_path: Path) -> None:
    with window(tmp_path) as failed:
        assert_refused(failed.vm.qmp, failed.uri)
        for command in ("snapshot-save", "snapshot-load"):
            assert "not been cleaned up" in outcome(failed.vm.qmp, command, SNAPSHOT)
        failed.close()
        failed.vm.check_alive()


@pytest.mark.parametrize("mode", ["observe", "skip"])
@pytest.mark.parametrize("capability", ["dirty-bitmaps", "zero-copy-send"])
def test_a_mode_and_a_capability_of_the_next_migration_meet_before_the_last_one_is_cleaned_up(
    capability: str, mode: str, tmp_path: Path
) -> None:
    """They are held against each other, in either order, and not against what the last one goes by."""
    with window(tmp_path) as failed:
        qmp = failed.vm.qmp
        not_compatible = f"fake-dirty-mode '{mode}' is not compatible with capability '{capability}'"
        enable(qmp, capability)
        with pytest.raises(QmpRefusedError, match=not_compatible):
            qmp.execute("migrate-set-parameters", {"fake-dirty-mode": mode})
        assert set_to(qmp) == ("off", {"multifd", capability})

        enable(qmp, capability, state=False)
        qmp.execute("migrate-set-parameters", {"fake-dirty-mode": mode})
        with pytest.raises(QmpRefusedError, match=not_compatible):
            enable(qmp, capability)
        assert set_to(qmp) == (mode, {"multifd"})

        enable(qmp, "multifd", state=False)
        assert_refused(qmp, failed.uri)
        assert "fake-dirty" not in qmp.execute("query-migrate"), "the mode of the last one was off"
        failed.close()
        assert set_to(qmp) == (mode, set())
        assert "fake-dirty" not in qmp.execute("query-migrate")
        qmp.execute("migrate", uri=failed.uri)
        main, _ = failed.listener.accept()
        with main:
            wait(lambda: qmp.execute("query-migrate").get("fake-dirty", {}).get("mode") == mode)


def test_modes_and_capabilities_by_two_clients_at_once(tmp_path: Path) -> None:
    """Whoever comes first has it: never is there a mode and what does not go with it."""
    with window(tmp_path) as failed, Qmp.connect(failed.vm.observer_socket) as other, ThreadPoolExecutor() as pool:
        qmp = failed.vm.qmp
        toggles = [
            partial(qmp.execute, "migrate-set-parameters", {"fake-dirty-mode": mode}) for mode in ("skip", "off")
        ]
        changes = [partial(enable, other, "dirty-bitmaps", state) for state in (True, False)]
        for _ in range(ROUNDS):
            tried = [pool.submit(attempts, commands) for commands in (toggles, changes)]
            refused = [each for attempt in tried for each in attempt.result()]
            assert all("is not compatible with" in each for each in refused)
            for first, second in ((toggles, changes), (changes, toggles)):
                first[0]()
                assert attempts(second[:1]), "the mode is on, or the capability, and the other one was accepted"
                first[1]()
        failed.close()
        assert set_to(qmp) == ("off", {"multifd"})


def attempts(commands: Sequence[Callable[[], object]]) -> list[str]:
    """Why commands are refused, those that are."""
    refused = []
    for command in commands:
        try:
            command()
        except QmpRefusedError as error:
            refused.append(error.reason)
    return refused
