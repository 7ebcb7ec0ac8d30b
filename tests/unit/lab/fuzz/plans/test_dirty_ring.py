"""KVM's dirty ring and dirty-limit in fuzzed plans: for KVM alone, and without effect on the other draws of a plan."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from fakedirty.lab.accelerator import accelerator_argument, ring_refusal
from fakedirty.lab.fuzz.coverage import Coverage
from fakedirty.lab.fuzz.fuzz_run import FuzzRun
from fakedirty.lab.fuzz.plans.dirty_ring import LIMIT_SECONDS, RINGS
from fakedirty.lab.fuzz.plans.draw_plan import draw_plan
from fakedirty.lab.fuzz.plans.plan import DIRTY_LIMIT, RING, Plan
from fakedirty.lab.fuzz.plans.possibilities import Possibilities
from fakedirty.lab.fuzz.report import possibilities_lines, summary_lines
from fakedirty.lab.fuzz.result import FuzzResult
from fakedirty.lab.guests.recipes import GUESTS, BuiltGuest

BITMAP = Possibilities(("xxh3-64", "sha1"), ("tcg", "kvm"), audit=True, refuses_late=True)
RINGED = replace(BITMAP, ring=True)
BOTH = [(draw_plan(7, index, BITMAP), draw_plan(7, index, RINGED)) for index in range(400)]
LIMITED = [(before, plan) for before, plan in BOTH if plan.capabilities.get(DIRTY_LIMIT)]


def test_plans_without_kvm_do_not_change() -> None:
    assert all(before == plan for before, plan in BOTH if before.accelerator == "tcg")
    assert all(before.ring is None and DIRTY_LIMIT not in before.capabilities for before, _plan in BOTH)


def test_a_ring_alone_changes_nothing_else() -> None:
    ringed = [(before, plan) for before, plan in BOTH if plan.ring and not plan.capabilities.get(DIRTY_LIMIT)]
    assert ringed
    assert all(replace(plan, ring=None) == before for before, plan in ringed)


def test_kvm_has_every_ring() -> None:
    of_kvm = [plan for _before, plan in BOTH if plan.accelerator == "kvm"]
    assert {plan.ring for plan in of_kvm} == {None, *RINGS}
    assert {bool(plan.capabilities.get(DIRTY_LIMIT)) for plan in of_kvm if plan.ring} == {True, False}


@pytest.mark.parametrize(("before", "plan"), LIMITED, ids=[str(plan.index) for _before, plan in LIMITED])
def test_qemu_allows_the_dirty_limit_and_the_attempt_lasts_long_enough(before: Plan, plan: Plan) -> None:
    assert plan.accelerator == "kvm"
    assert plan.ring
    assert not plan.capabilities["auto-converge"]
    assert plan.vcpus == before.vcpus
    assert int(str(plan.parameters["vcpu-dirty-limit"])) >= 1
    assert 1 <= int(str(plan.parameters["x-vcpu-dirty-limit-period"])) <= 1000
    for ours, theirs in zip(plan.attempts, before.attempts, strict=True):
        assert ours.seconds == pytest.approx(theirs.seconds + LIMIT_SECONDS)
        assert [toggle.mode for toggle in ours.toggles] == [toggle.mode for toggle in theirs.toggles]
        slowed = [change for change in ours.changes if set(change.parameters) == {"max-bandwidth"}]
        assert len(slowed) == (0 if plan.link_bits else 1)


def test_each_is_a_row_where_kvm_has_a_ring() -> None:
    assert set(Coverage(RINGED).features) - set(Coverage(BITMAP).features) == {RING, DIRTY_LIMIT}
    for before, plan in BOTH:
        assert set(plan.features) <= set(Coverage(RINGED).features)
        assert set(before.features) <= set(Coverage(BITMAP).features)
        assert (RING in plan.features, DIRTY_LIMIT in plan.features) == (
            plan.ring is not None,
            bool(plan.capabilities.get(DIRTY_LIMIT)),
        )


def test_the_summary_counts_how_often_vcpus_were_held_back() -> None:
    (_before, plan), *_ = LIMITED
    results = [FuzzResult(plan, dirty_limit_held=True), FuzzResult(plan), FuzzResult(draw_plan(7, 0, BITMAP))]
    lines = summary_lines(FuzzRun(Path("qemu"), 7, RINGED, results=results))
    assert "migrations with dirty-limit: 2; in which it held vCPUs back: 1" in lines
    without = summary_lines(FuzzRun(Path("qemu"), 7, BITMAP, results=results[2:]))
    assert not any(DIRTY_LIMIT in line for line in without)


def test_what_is_left_out_is_printed_with_the_reason() -> None:
    (first,) = possibilities_lines(RINGED)
    assert "tcg, kvm, with a dirty ring too" in first
    refusal = "dirty ring and dirty-limit: ioctl(/dev/kvm, KVM_CHECK_EXTENSION) is 0"
    first, second = possibilities_lines(replace(BITMAP, left_out=(refusal,)))
    assert "dirty ring" not in first
    assert second == f"left out: {refusal}"


def test_the_argument_for_accel() -> None:
    assert accelerator_argument("kvm", 1024) == "kvm,dirty-ring-size=1024"
    assert accelerator_argument("tcg", None) == "tcg"


def test_a_kernel_without_kvm_is_named_with_the_call_that_fails(tmp_path: Path) -> None:
    guest = BuiltGuest(GUESTS["baremetal"], tmp_path)
    absent, file = tmp_path / "absent", tmp_path / "file"
    file.touch()
    assert ring_refusal(Path("qemu"), guest, kvm=absent).startswith(f"open({absent}) fails: ENOENT, ")
    assert ring_refusal(Path("qemu"), guest, kvm=file).startswith(f"ioctl({file}, KVM_CHECK_EXTENSION) fails: ENOTTY, ")
