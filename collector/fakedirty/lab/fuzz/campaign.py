"""A fuzz run: what QEMU here allows, and plan after plan carried out on one network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from fakedirty.errors import LabError
from fakedirty.lab.accelerator import choose_accelerator, ring_refused
from fakedirty.lab.guests.recipes import BuiltGuest, build_guest
from fakedirty.lab.guests.workload import PROBE
from fakedirty.lab.machine import INCOMING, machine
from fakedirty.lab.network import shaped_network
from fakedirty.lab.testbed import Testbed
from fakedirty.model.enums import Mode
from fakedirty.qmp.client import Qmp, QmpRefusedError
from fakedirty.qmp.mode import read_mode
from fakedirty.qmp.parameters import HASH, MODE, SET
from fakedirty.qmp.rounds_command import COMMANDS, history_command
from fakedirty.qmp.schema import Schema

from .accepted import accepted
from .draw import draw, most_mib
from .memory_layouts import ARGUMENTS, HUGE_PAGES, reserved_huge_pages
from .plan import AUDIT_PARAMETER, DIRTY_LIMIT, MOST_VCPUS, RING, WEAK_PARAMETER, Possibilities
from .run import FuzzResult, run_plan

GUEST = "baremetal"  # writes nothing but what it is told, and starts at once

HUGE_MIB = 2 * most_mib()  # a source and a destination


def possible(qemu: Path, accelerator: str | None = None, vcpus: int = MOST_VCPUS) -> Possibilities:
    """The hashes that QEMU skips by, as it says itself, and the accelerators that run the guest here.

    What does not run is said, with who refuses it. One `accelerator` may be asked for; LabError if it does not run.
    Guests have at most so many `vcpus`.
    """
    with machine("asked", qemu, ["-m", "16", *INCOMING]) as asked:
        parameters = asked.qmp.execute("query-migrate-parameters")
        needed = {name: True for name in (WEAK_PARAMETER,) if name in parameters}
        asked.qmp.execute("migrate-set-parameters", needed)
        hashes = _accepted_hashes(asked.qmp)
        decides = history_command(asked.qmp) == COMMANDS[0]
        beside = accepted(asked.qmp)
    audit = AUDIT_PARAMETER in parameters
    accelerators, left_out = _accelerators(qemu, accelerator)
    ring = "kvm" in accelerators
    if ring and (refused := ring_refused(qemu, build_guest(GUEST))):
        ring, left_out = False, (*left_out, f"{RING} and {DIRTY_LIMIT}: {refused}")
    return Possibilities(
        hashes,
        accelerators,
        needed,
        audit,
        _memories(),
        decides,
        ring,
        beside.compressions,
        beside.ways,
        vcpus,
        (*left_out, *beside.left_out),
    )


def fuzz(qemu: Path, seed: int, indexes: Iterable[int], allowed: Possibilities) -> Iterator[FuzzResult]:
    """Run the migrations of these indexes, one after the other. Both sides have huge pages meanwhile, if allowed."""
    guest: BuiltGuest = build_guest(GUEST)
    with reserved_huge_pages(HUGE_MIB if HUGE_PAGES in allowed.memories else 0), shaped_network() as network:
        bench = Testbed(qemu, guest, PROBE, network)
        for index in indexes:
            yield run_plan(draw(seed, index, allowed), bench)


def _memories() -> tuple[str, ...]:
    """Huge pages only where the kernel reserves as many as both sides take."""
    with reserved_huge_pages(HUGE_MIB) as enough:
        return tuple(name for name in ARGUMENTS if enough or name != HUGE_PAGES)


def _accelerators(qemu: Path, wanted: str | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Those that run the guest, and what is left out with its reason."""
    if wanted == "tcg":
        return ("tcg",), ()
    found = choose_accelerator(qemu, build_guest(GUEST))
    if wanted not in (None, found.name):
        raise LabError(f"{wanted} runs no guest here: {found}")
    left_out = () if found.name == "kvm" else (f"kvm: {found.reason}",)
    return (wanted,) if wanted else tuple(dict.fromkeys(("tcg", found.name))), left_out


def _accepted_hashes(qmp: Qmp) -> tuple[str, ...]:
    """Those that may be set together with skip; others are not built in, or too weak. LabError where none is chosen."""
    _mode, default = read_mode(qmp)
    if default is None:
        raise LabError("this QEMU has one hash alone, and no parameter for it: it was built without the experiments")
    names = sorted(Schema.of(qmp).values(SET, HASH) or ())
    return (default, *(name for name in names if name != default and _accepts(qmp, name)))


def _accepts(qmp: Qmp, hash_name: str) -> bool:
    try:
        qmp.execute("migrate-set-parameters", {MODE: str(Mode.SKIP), HASH: hash_name})
    except QmpRefusedError:
        return False
    return True
