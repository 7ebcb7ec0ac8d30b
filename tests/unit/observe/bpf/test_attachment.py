"""What the kernel refuses, which feeds want the states of a process, and the slots of a build."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from fakedirty.errors import TargetError
from fakedirty.linux.uprobe import BpfError, refusal
from fakedirty.observe.bpf import attachments as module
from fakedirty.observe.bpf.attachment import Build
from fakedirty.observe.bpf.attachments import Attachments
from fakedirty.observe.bpf.buffer_sizes import DEFAULT
from fakedirty.observe.bpf.destinations import Destinations
from fakedirty.observe.bpf.feed import ProcessFeed
from fakedirty.observe.bpf.process_slots import ProcessSlots
from fakedirty.observe.host.target import Target

BUILD = Build(("rings.c",), "", (), pages=False, sizes=DEFAULT, kept=())


def target(pid: int) -> Target:
    return Target(pid, f"vm{pid}", Path("exe"), "qemu", 1, ())


@pytest.mark.parametrize(
    ("number", "tries"), [(errno.EPERM, 1), (0, 1), (errno.EINVAL, 1), (errno.ENOENT, 3), (errno.ESRCH, 3)]
)
def test_what_was_refused_for_a_build_is_not_compiled_for_each_of_its_qemus(
    number: int, tries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []

    def refused(*_arguments: object) -> None:
        made.append(1)
        raise refusal("the kernel refused a probe", number)

    monkeypatch.setattr(module, "Attachment", refused)
    attachments = Attachments(every_process=True)
    for pid in (1, 2, 3):
        with pytest.raises(BpfError) as caught:
            attachments.observe(target(pid), BUILD, [])
        assert caught.value.errno == number
    assert len(made) == tries
    monkeypatch.setattr(module, "REFUSED_SECONDS", 0.0)
    with pytest.raises(BpfError):
        attachments.observe(target(4), BUILD, [])
    assert len(made) == tries + 1, "later it is tried again"
    attachments.close()


def test_states_of_a_process_go_to_all_that_follow_it() -> None:
    destinations, own, source = Destinations(), ProcessFeed(1, 0), ProcessFeed(2, 0)
    destinations.add(7, own)
    destinations.add(7, source)
    assert destinations.of(7) == (own, source)
    assert destinations.of(8) == ()
    destinations.remove(7, own)
    destinations.remove(7, own)
    assert destinations.of(7) == (source,)
    destinations.remove(7, source)
    assert destinations.of(7) == ()


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENOMEM, errno.EPERM, errno.ENOENT, errno.E2BIG, errno.EBUSY])
def test_a_refusal_has_its_errno_its_name_and_what_it_means(number: int) -> None:
    error = refusal("the kernel refused a probe", number)
    assert error.errno == number
    assert f": {errno.errorcode[number]}, " in str(error)
    assert str(error).count(errno.errorcode[number]) == 1
    assert len(str(error)) > 60, "it says what to do"


def test_a_slot_is_used_again_as_late_as_can_be_and_the_first_one_never() -> None:
    slots = ProcessSlots(4)
    assert [slots.free((), target(1)) for _ in range(7)] == [1, 2, 3, 1, 2, 3, 1]
    assert slots.free({2}, target(1)) == 3


def test_a_process_for_which_there_is_no_slot_is_refused_by_name_and_the_next_one_is_not() -> None:
    slots = ProcessSlots(4)
    with pytest.raises(TargetError, match=r"pid 5.*3 processes of its build"):
        slots.free({1, 2, 3}, target(5))
    assert slots.free({1, 3}, target(5)) == 2
