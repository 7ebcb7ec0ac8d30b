"""What cannot be is refused with an error that names the conflict, and then nothing has changed at all."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from fakedirty.lab.machine import machine
from fakedirty.lab.qemu import qemu_binary
from fakedirty.qmp.client import Qmp, QmpRefusedError
from migrating import wait

SKIP = {"fake-dirty-mode": "skip"}
OBSERVE = {"fake-dirty-mode": "observe"}
WEAK = {"fake-dirty-hash": "crc32"}
COLO = "x-colo"


@dataclass(frozen=True)
class Bad:
    """Parameters and capabilities that are set first, those that are asked for then, and what is said to it.

    What is asked for `needs` a capability beside it.
    """

    said: str
    then: Mapping[str, object] = field(default_factory=dict)
    first: Mapping[str, object] = field(default_factory=dict)
    capability_first: str = ""
    capability_then: str = ""
    needs: str = ""

    def ask(self, qmp: Qmp) -> None:
        """Ask for what is refused."""
        if self.capability_then:
            enable(qmp, self.capability_then)
        else:
            qmp.execute("migrate-set-parameters", self.then)


def capability(name: str, needs: str = "") -> Iterator[Bad]:
    """Both orders of each mode and what does not go with it."""
    for mode in (OBSERVE, SKIP):
        said = f"(?i)fake-dirty-mode '{mode['fake-dirty-mode']}' is not compatible with.*{name}"
        yield Bad(said, first=mode, capability_then=name, needs=needs)
        yield Bad(said, then=mode, capability_first=name, needs=needs)


BAD = (
    Bad("(?i)mode.*'sometimes'|does not accept value 'sometimes'", {"fake-dirty-mode": "sometimes"}),
    Bad("(?i)does not accept value 'sha3'", {"fake-dirty-hash": "sha3"}),
    Bad("(?i)fake-dirty-audit.*boolean", {"fake-dirty-audit": "yes"}),
    Bad("(?i)fake-dirty-modus.*unexpected", {"fake-dirty-modus": "skip"}),
    Bad("does not accept value 'blake3'", {**SKIP, "fake-dirty-hash": "blake3"}),
    Bad("does not accept value 'blake3'", {"fake-dirty-hash": "blake3"}),
    Bad("does not accept value 'blake3'", {"fake-dirty-hash": "blake3"}, first=OBSERVE),
    Bad("'crc32' is too weak for fake-dirty-mode 'skip'.*fake-dirty-allow-weak-hash", SKIP, first=WEAK),
    Bad("'crc32' is too weak for fake-dirty-mode 'skip'.*fake-dirty-allow-weak-hash", WEAK, first=SKIP),
    Bad(
        "'murmur3-32' is too weak",
        {"fake-dirty-allow-weak-hash": False},
        first={**SKIP, "fake-dirty-hash": "murmur3-32", "fake-dirty-allow-weak-hash": True},
    ),
    # one bad word among good ones: none of them is taken
    Bad("(?i)downtime", {**SKIP, "fake-dirty-hash": "sha1", "fake-dirty-audit": True, "downtime-limit": 10**9}),
    Bad("too weak", {**SKIP, **WEAK, "max-bandwidth": 12345, "fake-dirty-audit": True}),
    *capability("dirty-bitmaps"),
    *capability("background-snapshot"),
    *capability("zero-copy-send", needs="multifd"),
    *capability(COLO),
)


def state(qmp: Qmp) -> dict[str, Any]:
    """All that can be set."""
    return {name: qmp.execute(name) for name in ("query-migrate-parameters", "query-migrate-capabilities")}


def enable(qmp: Qmp, capability: str, state: bool = True) -> None:
    qmp.execute("migrate-set-capabilities", capabilities=[{"capability": capability, "state": state}])


def reason_against(qmp: Qmp, capability: str) -> str:
    """Why QEMU was built without a capability; empty where it has it."""
    try:
        enable(qmp, capability)
    except QmpRefusedError as error:
        return error.reason
    enable(qmp, capability, state=False)
    return ""


@pytest.fixture(scope="module")
def idle() -> Iterator[Qmp]:
    """A QEMU that every case leaves as it found it."""
    with machine("refusing", qemu_binary(), ["-m", "16", "-S"]) as vm:
        yield vm.qmp


@pytest.mark.parametrize("bad", BAD, ids=str)
def test_it_is_refused_by_name_and_changes_nothing(bad: Bad, idle: Qmp) -> None:
    pristine = state(idle)
    defaults = {name: value for name, value in pristine["query-migrate-parameters"].items() if "fake-dirty" in name}
    if COLO in (bad.capability_first, bad.capability_then) and (why := reason_against(idle, COLO)):
        pytest.skip(why)
    try:
        if bad.needs:
            enable(idle, bad.needs)
        if bad.capability_first:
            enable(idle, bad.capability_first)
        idle.execute("migrate-set-parameters", bad.first)
        before = state(idle)
        with pytest.raises(QmpRefusedError, match=bad.said):
            bad.ask(idle)
        assert state(idle) == before
        assert "fake-dirty" not in idle.execute("query-migrate")
    finally:
        idle.execute("migrate-set-parameters", defaults)
        idle.execute("migrate-set-capabilities", capabilities=pristine["query-migrate-capabilities"])
    assert state(idle) == pristine


def test_a_migration_by_rdma_is_refused_where_it_is_asked_for(idle: Qmp) -> None:
    idle.execute("migrate-set-parameters", SKIP)
    try:
        with pytest.raises(QmpRefusedError, match="fake-dirty-mode 'skip' is not compatible with RDMA"):
            idle.execute("migrate", uri="rdma:127.0.0.1:4444")
        assert idle.execute("query-migrate").get("status", "none") in ("none", "failed")
    finally:
        idle.execute("migrate-set-parameters", {"fake-dirty-mode": "off"})


@pytest.mark.parametrize("mode", [OBSERVE, SKIP], ids=str)
def test_a_mode_is_refused_while_a_migration_by_rdma_runs(mode: Mapping[str, object], tmp_path: Path) -> None:
    """It takes no device: with cpr-transfer, QEMU connects by RDMA only when the other QEMU closes another channel."""
    other = {"transport": "socket", "type": "unix", "path": str(tmp_path / "cpr")}
    channels = [
        {"channel-type": "main", "addr": {"transport": "rdma", "host": "127.0.0.1", "port": "4444"}},
        {"channel-type": "cpr", "addr": other},
    ]
    with (
        machine("by-rdma", qemu_binary(), ["-machine", "none"]) as vm,
        socket.socket(socket.AF_UNIX) as listener,
    ):
        listener.bind(str(tmp_path / "cpr"))
        listener.listen()
        vm.qmp.execute("migrate-set-parameters", {"mode": "cpr-transfer"})
        vm.qmp.execute("migrate", channels=channels)
        connection, _ = listener.accept()
        with connection:
            assert vm.qmp.execute("query-migrate")["status"] == "setup"
            before = state(vm.qmp)
            with pytest.raises(QmpRefusedError, match="is not compatible with RDMA"):
                vm.qmp.execute("migrate-set-parameters", mode)
            assert state(vm.qmp) == before
        wait(lambda: vm.qmp.execute("query-migrate")["status"] == "failed")
        vm.qmp.execute("migrate-set-parameters", mode)
