"""How often a QEMU writes to its channel while it sends a guest once: the kernel counts.

At the end of each time slice QEMU writes what it has, however little. A pass that takes longer has more such writes,
which are not counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import median

from fakedirty.lab.bench.full_speed import LOCKED, one_pass, prepare, set_next_mode, sink
from fakedirty.lab.guests.recipes import build_guest
from fakedirty.lab.guests.workload import Workload
from fakedirty.lab.rig import Rig
from library_calls import counting

SLICE = "ram_save_iterate"  # QEMU's function for one: a stripped binary has no name of it
PASSES = 5
MOST_MORE = 1.02  # times as many as with the mode off, or without the series

ZEROS = Workload(fake=8, memory_mib=1280)  # nearly all of it was never touched
FULL = Workload(untouched=100_000, memory_mib=512)


@dataclass(frozen=True)
class Writes:
    """Of a pass: calls of sendmsg, less one for each time slice, and pages."""

    calls: int
    pages: int


def writes(qemu: Path, workload: Workload, modes: tuple[str | None, ...]) -> dict[str | None, int]:
    """For each mode, None where the QEMU has none, the median of some passes in turns. The first ones do not count."""
    found: dict[str | None, list[Writes]] = {mode: [] for mode in modes}
    bench = Rig(qemu, build_guest("baremetal"), workload, network=None, more=LOCKED, name="writes")
    with (
        sink() as uri,
        bench.source() as source,
        counting(source.pid, "sendmsg") as calls,
        counting(source.pid, SLICE, file=qemu.name) as slices,
    ):
        prepare(source.qmp, running=False)
        for _ in range(PASSES + 1):
            for mode in modes:
                if mode is not None:
                    set_next_mode(source.qmp, mode)
                before = calls() - slices()
                pages = one_pass(source, uri).pages
                found[mode].append(Writes(calls() - slices() - before, pages))
    assert len({each.pages for passes in found.values() for each in passes}) == 1, found
    return {mode: round(median(each.calls for each in passes[1:])) for mode, passes in found.items()}
