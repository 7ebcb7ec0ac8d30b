"""Finds out the possibilities of a fuzz run: what QEMU accepts, and what this host runs."""

from __future__ import annotations

from pathlib import Path

from fakedirty.errors import LabError
from fakedirty.lab.accelerator import choose_accelerator, ring_refusal
from fakedirty.lab.guests.recipes import build_guest
from fakedirty.lab.machine import INCOMING, machine
from fakedirty.model.enums import Mode
from fakedirty.qmp.client import Qmp, QmpRefusedError
from fakedirty.qmp.mode import read_mode
from fakedirty.qmp.parameters import AUDIT, HASH, MODE, SET, WEAK_HASH
from fakedirty.qmp.rounds_command import COMMANDS, history_command
from fakedirty.qmp.schema import Schema

from .plans.draw_guest import most_mib
from .plans.memory_layouts import ARGUMENTS, HUGE_PAGES, reserved_huge_pages
from .plans.plan import DIRTY_LIMIT, RING
from .plans.possibilities import MOST_VCPUS, Possibilities
from .skip_compatibility import find_skip_compatibility

GUEST = "baremetal"  # starts at once, and writes only the pages that its workload names
HUGE_MIB = 2 * most_mib()  # for a source and a destination


def find_possibilities(qemu: Path, accelerator: str | None = None, vcpus: int = MOST_VCPUS) -> Possibilities:
    """Try out what `qemu` accepts, and which accelerators run the guest on this host.

    Args:
        qemu: a binary with the patch series.
        accelerator: the only one to use; default: all that run the guest.
        vcpus: the most that a guest is to have.

    Raises:
        LabError: `accelerator` does not run the guest, or this QEMU has no choice of hashes.
    """
    with machine("probe", qemu, ["-m", "16", *INCOMING]) as probe:
        parameters = probe.qmp.execute("query-migrate-parameters")
        needed = {name: True for name in (WEAK_HASH,) if name in parameters}
        probe.qmp.execute("migrate-set-parameters", needed)
        hashes = _skip_hashes(probe.qmp)
        refuses_late = history_command(probe.qmp) == COMMANDS[0]
        compatibility = find_skip_compatibility(probe.qmp)
    accelerators, left_out = _accelerators(qemu, accelerator)
    ring = "kvm" in accelerators
    if ring and (refusal := ring_refusal(qemu, build_guest(GUEST))):
        ring, left_out = False, (*left_out, f"{RING} and {DIRTY_LIMIT}: {refusal}")
    return Possibilities(
        hashes,
        accelerators,
        needed,
        audit=AUDIT in parameters,
        memories=_memories(),
        refuses_late=refuses_late,
        ring=ring,
        compressions=compatibility.compressions,
        routes=compatibility.routes,
        vcpus=vcpus,
        left_out=(*left_out, *compatibility.left_out),
    )


def _memories() -> tuple[str, ...]:
    """The memory layouts; huge pages only if the kernel reserves enough of them for both sides."""
    with reserved_huge_pages(HUGE_MIB) as enough:
        return tuple(name for name in ARGUMENTS if enough or name != HUGE_PAGES)


def _accelerators(qemu: Path, only: str | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The accelerators that run the guest, and those that are left out, with the reason."""
    if only == "tcg":
        return ("tcg",), ()
    best = choose_accelerator(qemu, build_guest(GUEST))
    if only not in (None, best.name):
        raise LabError(f"{only} runs no guest here: {best}")
    left_out = () if best.name == "kvm" else (f"kvm: {best.reason}",)
    return (only,) if only else tuple(dict.fromkeys(("tcg", best.name))), left_out


def _skip_hashes(qmp: Qmp) -> tuple[str, ...]:
    """The hashes that QEMU skips by, its default first. The others are not built in, or too weak."""
    _mode, default = read_mode(qmp)
    if default is None:
        raise LabError("this QEMU has one hash alone, and no parameter for it: it was built without the experiments")
    names = sorted(Schema.of(qmp).values(SET, HASH) or ())
    return (default, *(name for name in names if name != default and _skips_by(qmp, name)))


def _skips_by(qmp: Qmp, hash_name: str) -> bool:
    try:
        qmp.execute("migrate-set-parameters", {MODE: str(Mode.SKIP), HASH: hash_name})
    except QmpRefusedError:
        return False
    return True
