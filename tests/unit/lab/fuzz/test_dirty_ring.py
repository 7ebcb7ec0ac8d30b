"""KVM's dirty ring and dirty-limit in fuzzed plans: of KVM alone, and nothing else in a plan is drawn otherwise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from fakedirty.cli.fuzz import drawn_from, summary
from fakedirty.lab.accelerator import accelerated_by, ring_refused
from fakedirty.lab.fuzz.coverage import Coverage
from fakedirty.lab.fuzz.dirty_ring import LIMIT_SECONDS, RINGS
from fakedirty.lab.fuzz.draw import draw
from fakedirty.lab.fuzz.plan import DIRTY_LIMIT, RING, Plan, Possibilities
from fakedirty.lab.fuzz.run import FuzzResult
from fakedirty.lab.guests.recipes import GUESTS, BuiltGuest

BITMAP = Possibilities(("xxh3-64", "sha1"), ("tcg", "kvm"), audit=True, decides=True)
RINGED = replace(BITMAP, ring=True)
BOTH = [(draw(7, index, BITMAP), draw(7, index, RINGED)) for index in range(400)]
LIMITED = [(before, plan) for before, plan in BOTH if plan.capabilities.get(DIRTY_LIMIT)]


def test_plans_without_kvm_are_what_they_were() -> None:
    assert all(before == plan for before, plan in BOTH if before.accelerator == "tcg")
    assert all(before.ring is None and DIRTY_LIMIT not in before.capabilities for before, _plan in BOTH)


def test_a_ring_alone_changes_nothing_else() -> None:
    ringed = [(before, plan) for before, plan in BOTH if plan.ring and not plan.capabilities.get(DIRTY_LIMIT)]
    assert ringed
    assert all(replace(plan, ring=None) == before for before, plan in ringed)


def test_kvm_has_all_of_them() -> None:
    of_kvm = [plan for _before, plan in BOTH if plan.accelerator == "kvm"]
    assert {plan.ring for plan in of_kvm} == {None, *RINGS}
    assert {bool(plan.capabilities.get(DIRTY_LIMIT)) for plan in of_kvm if plan.ring} == {True, False}


@pytest.mark.parametrize(("before", "plan"), LIMITED, ids=[str(plan.index) for _before, plan in LIMITED])
def test_dirty_limit_is_one_that_qemu_allows_and_lasts_long_enough_to_begin(before: Plan, plan: Plan) -> None:
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


def test_how_often_vcpus_were_held_back_is_said_where_any_could_be() -> None:
    (_before, plan), *_ = LIMITED
    done = [FuzzResult(plan, limited=True), FuzzResult(plan), FuzzResult(draw(7, 0, BITMAP))]
    assert "migrations with dirty-limit: 2; in which it held vCPUs back: 1" in summary(done, Coverage(RINGED))
    assert not any(DIRTY_LIMIT in line for line in summary(done[2:], Coverage(BITMAP)))


def test_what_is_left_out_is_said_with_who_refuses_it() -> None:
    (first,) = drawn_from(RINGED)
    assert "tcg, kvm, with a dirty ring too" in first
    refused = "dirty ring and dirty-limit: ioctl(/dev/kvm, KVM_CHECK_EXTENSION) is 0"
    first, second = drawn_from(replace(BITMAP, left_out=(refused,)))
    assert "dirty ring" not in first
    assert second == f"left out: {refused}"


def test_the_word_for_accel() -> None:
    assert accelerated_by("kvm", 1024) == "kvm,dirty-ring-size=1024"
    assert accelerated_by("tcg", None) == "tcg"


def test_a_kernel_without_kvm_is_named_with_the_call_that_fails(tmp_path: Path) -> None:
    guest = BuiltGuest(GUESTS["baremetal"], tmp_path)
    absent, file = tmp_path / "absent", tmp_path / "file"
    file.touch()
    assert ring_refused(Path("qemu"), guest, kvm=absent).startswith(f"open({absent}) fails: ENOENT, ")
    assert ring_refused(Path("qemu"), guest, kvm=file).startswith(f"ioctl({file}, KVM_CHECK_EXTENSION) fails: ENOTTY, ")
