"""The workload of a ground-truth guest: its page sets and its pauses, and the command line that each guest takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fakedirty.errors import UsageError

from .page_frames import PageFrames

SETS = ("fake", "changed", "zero", "aba", "phased", "untouched")  # as in guests/pages.h

TEXT_WORDS = 16  # of each group of so many words of a page, the first ones may be text
MAX_PARTS = 10_000

MIB_FRAMES = 256
MAX_MEMORY_MIB = 3 * 1024  # beyond, the pc machine splits its memory and frame numbers are no longer page indexes

# frames that the sets cannot have: below, those of firmware and guest; above, those of the firmware's tables
BAREMETAL_FIRST = 4 * MIB_FRAMES
BAREMETAL_RESERVED_TOP = 1 * MIB_FRAMES
LINUX_OWN_MIB = 128


@dataclass(frozen=True, slots=True)
class Workload:
    """How many pages each set has, how the guest writes them, and how much memory it has.

    Attributes:
        pause_ms: between two sweeps.
        report_ms: between two reports.
        stride: the distance of two pages of a set, in frames, where the guest can choose its frames.
        parts: a sweep and its pause are cut into so many equal parts. Each writes a part of every set, so that the
            guest writes at an even rate.
        text: how many of every 16 words of a page are text, so that the page compresses like records of a store.
    """

    fake: int = 0
    changed: int = 0
    zero: int = 0
    aba: int = 0
    phased: int = 0
    untouched: int = 0
    pause_ms: int = 20
    report_ms: int = 1000
    memory_mib: int = 512
    stride: int = 1
    parts: int = 1
    text: int = 0

    def __post_init__(self) -> None:
        negative = [name for name in (*SETS, "pause_ms", "report_ms") if getattr(self, name) < 0]
        if negative:
            raise UsageError(f"a workload cannot have a negative {', '.join(negative)}")
        if self.stride < 1:
            raise UsageError(f"pages cannot be {self.stride} frames apart: the least is 1")
        if not 0 < self.parts <= MAX_PARTS or not 0 <= self.text < TEXT_WORDS:
            raise UsageError(f"a sweep has 1 to {MAX_PARTS} parts, and 0 to {TEXT_WORDS - 1} words of text of every 16")
        if not 0 < self.memory_mib < MAX_MEMORY_MIB:
            raise UsageError(f"a guest cannot have {self.memory_mib} MiB: give 64 to {MAX_MEMORY_MIB - 1}")

    @property
    def written(self) -> int:
        """How many pages a sweep writes."""
        return self.fake + self.changed + self.zero + self.aba + self.phased

    @property
    def counts(self) -> dict[str, int]:
        """How many pages each set has, without empty sets."""
        return {name: count for name in SETS if (count := getattr(self, name))}


#: The workload of most published measurements, in a guest of 512 MiB.
REFERENCE = Workload(fake=60_000, changed=5_000)

#: So small that the guest sweeps on any host: it shows only whether the guest runs.
PROBE = Workload(fake=8, pause_ms=1, memory_mib=192)


def place(workload: Workload) -> dict[str, PageFrames]:
    """Choose frames for each set, one set after the other; UsageError if the memory is too small."""
    placed = {}
    first = BAREMETAL_FIRST
    for name, count in workload.counts.items():
        placed[name] = PageFrames(first, count, workload.stride)
        first = placed[name].end
    _check_memory(workload, first + BAREMETAL_RESERVED_TOP)
    return placed


def baremetal_words(workload: Workload) -> str:
    """The command line of the bare-metal guest, with the page frames of each set."""
    return " ".join([*(f"{name}={frames}" for name, frames in place(workload).items()), *_times(workload)])


def linux_words(workload: Workload, addresses: Sequence[str] = ()) -> str:
    """The command line of the Linux guest; the arguments after ``--`` are those of its network and its working set.

    Args:
        workload: of the guest.
        addresses: of its virtio network device, each with the length of its prefix; empty if it has none.
    """
    _check_memory(workload, sum(workload.counts.values()) + LINUX_OWN_MIB * MIB_FRAMES)
    network = (f"address={each}" for each in addresses)
    return " ".join(["console=ttyS0 quiet loglevel=0 panic=-1 --", *network, *working_set_words(workload)])


def working_set_words(workload: Workload) -> list[str]:
    """The arguments of ``guests/workingset.c``."""
    if workload.stride != 1:
        raise UsageError("the Linux guest cannot choose its page frames: leave the stride at 1 or take the other guest")
    return [*(f"{name}={count}" for name, count in workload.counts.items()), *_times(workload)]


def _times(workload: Workload) -> list[str]:
    words = [f"pause={workload.pause_ms}", f"report={workload.report_ms}"]
    words += [f"parts={workload.parts}"] if workload.parts > 1 else []
    return words + ([f"text={workload.text}"] if workload.text else [])


def _check_memory(workload: Workload, frames: int) -> None:
    needed = -(-frames // MIB_FRAMES)
    if needed > workload.memory_mib:
        raise UsageError(f"the page sets need a guest of {needed} MiB, and it has {workload.memory_mib}")
