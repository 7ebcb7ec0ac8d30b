"""Skipping where KVM reports written pages by a ring, and where dirty-limit holds vCPUs back by it.

QEMU's own trace says that the ring was in use, and that vCPUs slept. What KVM refuses is the reason of a skipped test.
"""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from fakedirty.lab.accelerator import accelerator_argument, choose_accelerator, ring_refusal
from fakedirty.lab.fuzz.plans.draw_attempt import AVAILABLE
from fakedirty.lab.guests.recipes import build_guest
from fakedirty.lab.guests.workload import Workload
from fakedirty.lab.machine import Machine
from fakedirty.lab.migrate import PATIENCE_MS, Settings, Step, migrate
from fakedirty.lab.network import GIGABIT
from fakedirty.lab.qemu import qemu_binary
from fakedirty.lab.rig import Rig
from fakedirty.model.enums import Mode
from fakedirty.qmp.client import Qmp
from series import assert_equal, bench, let_through, rounds, toggling

RING = 1024  # less than a sweep writes, so that it is full again and again
WORKLOAD = Workload(fake=800, changed=250, zero=250, aba=250, untouched=300, pause_ms=0, memory_mib=16)
# so much is sent first that what is rewritten meanwhile is little beside it
SILENT = Workload(fake=3000, changed=10, untouched=60_000, pause_ms=0, memory_mib=320)
HASHING_LIMIT_MS = 1  # a fraction of what hashing takes that is dirty in any round
BANDWIDTH = 6_000_000  # bytes/s: what really changes takes more than QEMU uses at once, in mode skip too
LEAST_MS = 1
TRACED = (
    "kvm_dirty_ring_reap",
    "kvm_dirty_ring_full",
    "dirtylimit_vcpu_execute",
    "migration_dirty_limit_guest",
    "migration_throttle",
)
TOGGLES = (  # after which round what is set
    (0, Mode.OBSERVE, "xxh3-64"),
    (2, Mode.SKIP, "xxh3-64"),
    (4, Mode.OFF, "xxh3-64"),
    (5, Mode.SKIP, "xxh3-64"),
    (7, Mode.SKIP, "md5"),
    (9, Mode.OBSERVE, "md5"),
    (10, Mode.SKIP, "md5"),
)
LAST_ROUND = 12


@pytest.fixture(scope="module")
def ringed() -> None:
    """KVM runs the guest, and has a ring."""
    qemu, guest = qemu_binary(), build_guest("baremetal")
    accelerator = choose_accelerator(qemu, guest)
    if accelerator.name != "kvm":
        pytest.skip(accelerator.reason)
    if refused := ring_refusal(qemu, guest):
        pytest.skip(refused)


def under_kvm(both: Rig) -> Rig:
    """The same under KVM with a ring, traced."""
    more = [word for name in TRACED for word in ("-trace", name)]
    return replace(both, accelerator=accelerator_argument("kvm", RING), more=(*both.more, *more))


def traced(vm: Machine, name: str) -> list[str]:
    """What follows the name of an event in each of its lines."""
    text = (vm.directory / "stderr.log").read_text()
    return re.findall(rf"\b{name} (.*)", text)


def reaped_pages(vm: Machine) -> int:
    """How many pages QEMU has taken from the rings."""
    lines = traced(vm, "kvm_dirty_ring_reap")
    return sum(int(re.fullmatch(r"reaped (\d+) pages .*", line)[1]) for line in lines)  # type: ignore[index]


@pytest.mark.usefixtures("ringed")
def test_toggles_with_a_ring_leave_every_page_equal() -> None:
    settings = Settings(LEAST_MS, BANDWIDTH, parameters={"fake-dirty-switchover": False, "fake-dirty-audit": True})
    steps = [Step(toggling(mode, hash_name), after_round=after) for after, mode, hash_name in TOGGLES]
    with bench(WORKLOAD) as both, (both := under_kvm(both)).source() as source, both.destination() as destination:
        outcome = migrate(source, destination, settings, time_limit=120, steps=[*steps, let_through(LAST_ROUND)])
        assert outcome.status == "completed"
        assert_equal(source, destination)
        history = rounds(source.qmp)
        reaped, full = reaped_pages(source), len(traced(source, "kvm_dirty_ring_full"))
    assert len(history) > LAST_ROUND, "it must not end by itself"
    assert {each["mode"] for each in history} == {"off", "observe", "skip"}
    assert {each.get("hash") for each in history} >= {"xxh3-64", "md5"}
    assert sum(each["skipped"] for each in history) > WORKLOAD.fake
    assert outcome.final["fake-dirty"]["false-equal"] == 0
    later = sum(each["dirty"] for each in history[1:])
    assert reaped >= later, "nothing is dirty after the bulk round but what the rings reported"
    assert full > 0


@pytest.mark.usefixtures("ringed")
def test_dirty_limit_holds_a_vcpu_back_and_leaves_every_page_equal() -> None:
    limit = {"vcpu-dirty-limit": 8, "x-vcpu-dirty-limit-period": 200, "throttle-trigger-threshold": 1}
    settings = Settings(
        LEAST_MS,
        BANDWIDTH,
        parameters={"fake-dirty-mode": "skip", "fake-dirty-switchover": False, "fake-dirty-audit": True, **limit},
        capabilities={"dirty-limit": True},
    )
    slept: list[int] = []

    def look(qmp: Qmp) -> None:
        slept.append(qmp.execute("query-migrate").get("dirty-limit-throttle-time-per-round", 0))
        if len([each for each in slept if each]) == 3:
            (vcpu,) = qmp.execute("query-vcpu-dirty-limit")
            assert vcpu["limit-rate"] == 8
            qmp.execute("migrate-set-parameters", {"downtime-limit": PATIENCE_MS})

    with bench(WORKLOAD) as both, (both := under_kvm(both)).source() as source, both.destination() as destination:
        steps = [Step(look, after_seconds=second / 2) for second in range(240)]
        outcome = migrate(source, destination, settings, time_limit=120, steps=steps)
        assert outcome.status == "completed"
        assert_equal(source, destination)
        history = rounds(source.qmp)
        begun, sleeps = traced(source, "migration_dirty_limit_guest"), traced(source, "dirtylimit_vcpu_execute")
        reaped = reaped_pages(source)
    assert begun, "the migration itself began it"
    assert sleeps
    assert any(slept)
    assert reaped >= sum(each["dirty"] for each in history[1:])
    assert sum(each["skipped"] for each in history) > WORKLOAD.fake
    assert outcome.final["fake-dirty"]["false-equal"] == 0


@pytest.mark.usefixtures("ringed")
@pytest.mark.parametrize("held_back", ["dirty-limit", "auto-converge"])
def test_a_guest_that_cannot_be_hashed_within_the_limit_is_held_back_until_it_can(held_back: str) -> None:
    """Hardly anything is to be sent, but hashing all that it rewrites takes longer than the downtime limit."""
    settings = Settings(
        HASHING_LIMIT_MS,
        parameters={
            "fake-dirty-mode": "skip",
            "fake-dirty-hash": "md5",
            # per cent of the time: sending what changes takes less, and hashing more
            "throttle-trigger-threshold": 5,
            AVAILABLE: GIGABIT // 8,  # else the link is tried by sending fake pages, which is more than that
            "vcpu-dirty-limit": 1,
            "x-vcpu-dirty-limit-period": 200,
        },
        capabilities={held_back: True},
    )
    with bench(SILENT) as both, (both := under_kvm(both)).source() as source, both.destination() as destination:
        outcome = migrate(source, destination, settings, time_limit=120)
        assert outcome.status == "completed"
        assert_equal(source, destination)
        rounds(source.qmp)
        begun = traced(source, "migration_dirty_limit_guest") + traced(source, "migration_throttle")
    assert begun, "the migration itself began it"
    assert outcome.converged


@pytest.mark.usefixtures("ringed")
def test_what_the_kernel_refuses_is_named() -> None:
    assert "Enabling of KVM dirty ring failed: Invalid argument" in ring_refusal(
        qemu_binary(), build_guest("baremetal"), entries=2
    )
