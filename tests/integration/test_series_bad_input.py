"""What cannot be is refused with an error that names the conflict, and then nothing has changed at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from fakedirty.lab.machine import machine
from fakedirty.lab.qemu import qemu_binary
from fakedirty.qmp.client import Qmp, QmpRefusedError

SKIP = {"fake-dirty-mode": "skip"}
OBSERVE = {"fake-dirty-mode": "observe"}
WEAK = {"fake-dirty-hash": "crc32"}


@dataclass(frozen=True)
class Bad:
    """Parameters and capabilities that are set first, those that are asked for then, and what is said to it."""

    said: str
    then: Mapping[str, object] = field(default_factory=dict)
    first: Mapping[str, object] = field(default_factory=dict)
    capability_first: str = ""
    capability_then: str = ""

    def ask(self, qmp: Qmp) -> None:
        """Ask for what is refused."""
        if self.capability_then:
            enable(qmp, self.capability_then)
        else:
            qmp.execute("migrate-set-parameters", self.then)


def capabilities(names: tuple[str, ...]) -> Iterator[Bad]:
    """Both orders of each mode and what does not go with it."""
    for name in names:
        for mode in (OBSERVE, SKIP):
            said = f"(?i)fake-dirty-mode '{mode['fake-dirty-mode']}' is not compatible with.*{name}"
            yield Bad(said, first=mode, capability_then=name)
            yield Bad(said, then=mode, capability_first=name)


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
    *capabilities(("dirty-bitmaps", "background-snapshot")),
)


def state(qmp: Qmp) -> dict[str, Any]:
    """All that can be set."""
    return {name: qmp.execute(name) for name in ("query-migrate-parameters", "query-migrate-capabilities")}


def enable(qmp: Qmp, capability: str) -> None:
    qmp.execute("migrate-set-capabilities", capabilities=[{"capability": capability, "state": True}])


@pytest.fixture(scope="module")
def idle() -> Iterator[Qmp]:
    """A QEMU that every case leaves as it found it."""
    with machine("refusing", qemu_binary(), ["-m", "16", "-S"]) as vm:
        yield vm.qmp


@pytest.mark.parametrize("bad", BAD, ids=str)
def test_it_is_refused_by_name_and_changes_nothing(bad: Bad, idle: Qmp) -> None:
    pristine = state(idle)
    defaults = {name: value for name, value in pristine["query-migrate-parameters"].items() if "fake-dirty" in name}
    try:
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
