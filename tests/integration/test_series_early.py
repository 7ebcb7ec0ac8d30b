"""A migration that ends before it has a thread: its table is gone then, and the next one is like any other."""

from __future__ import annotations

import resource
import socket
from pathlib import Path

import pytest
from fakedirty.lab.cleanup_retry import once_cleaned_up
from fakedirty.lab.machine import Machine, machine
from fakedirty.lab.migrate import Settings, Step, migrate
from fakedirty.lab.qemu import qemu_binary
from fakedirty.qmp.client import Qmp, QmpRefusedError
from listener import drain, listening
from migrating import wait
from series import SLOW, WORKLOAD, assert_equal, pair

AUDITED = {"fake-dirty-mode": "skip", "fake-dirty-audit": True}  # a table that is larger than the memory of the guest
TABLE_BYTES = WORKLOAD.memory_mib << 20
NEVER = {"avail-switchover-bandwidth": 1000, "max-bandwidth": SLOW // 10}  # a first round that is not over soon
POSTCOPY = {"postcopy-ram": True}
CREEP = 40_000  # bytes/s: postcopy that is not over before the test has looked at it
AFTER = 4  # rounds of pre-copy
TIMES = 3


@pytest.fixture(autouse=True)
def one_arena(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else threads take 64 MiB of addresses each, which a table could be taken for."""
    monkeypatch.setenv("MALLOC_ARENA_MAX", "1")


def addresses(vm: Machine) -> int:
    """Bytes of all that QEMU has mapped."""
    return int(Path(f"/proc/{vm.pid}/statm").read_text().split()[0]) * resource.getpagesize()


def assert_migrates(vm: Machine, place: Path) -> None:
    """To somebody who takes it all, until pages are known."""
    vm.qmp.execute("migrate-set-parameters", NEVER)
    with listening(place, drain):
        once_cleaned_up(lambda: vm.qmp.execute("migrate", uri=f"unix:{place}"))
        wait(lambda: vm.qmp.execute("query-migrate").get("fake-dirty", {}).get("first", 0) > 0)
        vm.qmp.execute("migrate_cancel")
        wait(lambda: vm.qmp.execute("query-migrate")["status"] == "cancelled")


def test_a_migration_that_cannot_be_yanked(tmp_path: Path) -> None:
    """A guest that has begun to run in postcopy is migrated on, while the rest of it still arrives."""
    grown = []

    with pair() as (source, destination):

        def migrate_on(qmp: Qmp) -> None:
            wait(lambda: destination.qmp.execute("query-status")["status"] != "inmigrate")
            destination.qmp.execute("migrate-set-parameters", AUDITED)
            before = addresses(destination)
            for _ in range(TIMES):
                with pytest.raises(QmpRefusedError, match="duplicate yank instance"):
                    destination.qmp.execute("migrate", uri=f"unix:{tmp_path / 'nowhere'}")
            grown.append(addresses(destination) - before)
            qmp.execute("migrate-set-parameters", {"max-postcopy-bandwidth": 0})

        steps = [
            Step(lambda qmp: qmp.execute("migrate-start-postcopy"), after_round=AFTER),
            Step(migrate_on, in_state="postcopy-active"),
        ]
        settings = Settings(
            300, SLOW, {**NEVER, **AUDITED, "max-bandwidth": SLOW, "max-postcopy-bandwidth": CREEP}, POSTCOPY
        )
        outcome = migrate(source, destination, settings, time_limit=60, steps=steps)
        assert outcome.status == "completed"
        assert_equal(source, destination)
        assert grown[0] < TABLE_BYTES / 2
        assert_migrates(destination, tmp_path / "on")


def test_a_transfer_that_is_cancelled_before_the_target_listens(tmp_path: Path) -> None:
    """The target has taken what comes first, and does not hang up, by which it would say that it listens."""
    backend = f"memory-backend-memfd,id=ram,size={TABLE_BYTES},share=on"
    memory = ["-m", str(WORKLOAD.memory_mib), "-object", backend]
    place = tmp_path / "socket"

    def channel(kind: str, path: Path) -> dict[str, object]:
        return {"channel-type": kind, "addr": {"transport": "socket", "type": "unix", "path": str(path)}}

    with (
        machine("moved", qemu_binary(), ["-machine", "none,memory-backend=ram,aux-ram-share=on", *memory]) as vm,
        socket.socket(socket.AF_UNIX) as listener,
    ):
        listener.bind(str(place))
        listener.listen()
        for _ in range(TIMES):
            vm.qmp.execute("migrate-set-parameters", {**AUDITED, "mode": "cpr-transfer"})
            vm.qmp.execute("migrate", channels=[channel("main", tmp_path / "nowhere"), channel("cpr", place)])
            target, _ = listener.accept()
            with target:
                assert vm.qmp.execute("query-migrate")["status"] == "setup"
                vm.qmp.execute("migrate_cancel")
                assert vm.qmp.execute("query-migrate")["status"] == "cancelled"
        vm.qmp.execute("migrate-set-parameters", {"mode": "normal"})
        assert_migrates(vm, tmp_path / "again")
        wait(lambda: vm.qmp.execute("query-migrate")["fake-dirty"]["table-bytes"] == 0)
