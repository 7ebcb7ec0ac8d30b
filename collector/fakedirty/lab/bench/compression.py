"""The convergence benchmark of guests whose pages compress: skipping before compression, and each of the two alone.

It is a fair question on two cores where the link, and not the CPU, is what compression waits for: see `FairnessCheck`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from fakedirty.lab.guests.content import PAGE_BYTES
from fakedirty.lab.guests.recipes import BuiltGuest
from fakedirty.lab.guests.serial_report import GuestReport
from fakedirty.lab.guests.workload import Workload
from fakedirty.lab.machine import Machine
from fakedirty.lab.memory_compare import Side, block_content
from fakedirty.lab.treatments import Treatment

from . import convergence
from .codec_speed import CodecSpeed, measure_codec
from .convergence import ConvergenceJob, ConvergenceRun, Mix

MBIT = 400  # per second: of the link, where nothing else is asked for
RAM = "pc.ram"
SAMPLE_PAGES = 16_384  # that are compressed to know the ratio and the speed
TEXT = 7  # words of 16: as values between the fields of a store's records; the ratio is measured

LEAST_RATIO = 2.5
MOST_OF_CODEC = 0.5  # of what one thread compresses to, the link carries at most
LEAST_ROUNDS = 4

#: Half of what is rewritten is fake, evenly over three seconds and without a pause; and nearly all of it is.
MIXES = (
    Mix(
        "text 32k/32k in 3 s",
        Workload(fake=32_000, changed=32_000, untouched=30_000, pause_ms=3_000, parts=100, text=TEXT),
    ),
    Mix("text 8k/8k", Workload(fake=8_000, changed=8_000, untouched=60_000, text=TEXT)),
    Mix("text 60k/5k", Workload(fake=60_000, changed=5_000, text=TEXT)),
)


@dataclass(frozen=True, slots=True)
class FairnessCheck:
    """Of the runs on one mix, whether compression alone has something to gain, and CPU enough to gain it.

    `ratio` and `codec_bytes_per_second` are those of the codec alone, in one thread; `rounds` are those that it takes
    without skipping, the fewest of all runs.
    """

    ratio: float
    codec_bytes_per_second: float
    link_bytes_per_second: float
    rounds: int

    @property
    def share_of_codec(self) -> float:
        """How much the link carries of what one thread compresses to."""
        return self.link_bytes_per_second / (self.codec_bytes_per_second / self.ratio)

    @property
    def holds(self) -> bool:
        """Whether all three conditions do."""
        return self.ratio >= LEAST_RATIO and self.share_of_codec <= MOST_OF_CODEC and self.rounds >= LEAST_ROUNDS


def fair(runs: Sequence[ConvergenceRun], codec: str, link_bytes_per_second: float) -> FairnessCheck | None:
    """The conditions as they were for a codec; None where it was not run both ways."""
    alone = [made for made in runs if made.job.treatment == f"multifd+{codec}"]
    both = [made for made in runs if made.job.treatment == f"skip+multifd+{codec}"]
    ratios = [made.codec_ratio for made in (*alone, *both) if made.codec_ratio is not None]
    speeds = [made.codec_bytes_per_second for made in (*alone, *both) if made.codec_bytes_per_second is not None]
    if not alone or not both or not ratios or not speeds:
        return None
    return FairnessCheck(median(ratios), median(speeds), link_bytes_per_second, min(made.rounds for made in alone))


def limit_seconds(made: ConvergenceRun, mix: Mix, treatment: Treatment, link_bytes_per_second: float) -> float:
    """What a treatment cannot be faster than: bulk and one pass of changed pages, by the slower of link and CPU."""
    return max(made.limit_seconds(mix, link_bytes_per_second), made.codec_seconds(mix, treatment.channels or 1))


def measure(
    job: ConvergenceJob,
    mix: Mix,
    treatment: Treatment,
    qemu: Path,
    guest: BuiltGuest,
    *,
    time_limit: float,
    link_bits: int,
) -> ConvergenceRun:
    """As :func:`convergence.measure`, and the codec alone on the guest's pages before."""

    def codec_speed(source: Machine, report: GuestReport) -> CodecSpeed | None:
        return None if treatment.codec is None else _codec_speed(treatment.codec, source, report)

    return convergence.measure(
        job, mix, treatment, qemu, guest, time_limit=time_limit, link_bits=link_bits, codec_speed=codec_speed
    )


def _codec_speed(codec: str, source: Machine, report: GuestReport) -> CodecSpeed:
    """On a sample of all sets, the guest stopped, so that no core is short."""
    source.qmp.execute("stop")
    content = block_content(Side(source.qmp, source.pid), RAM)
    pages = np.frombuffer(content, np.uint8).reshape(-1, PAGE_BYTES)
    frames = np.sort(np.concatenate(list(report.sets.values())))
    sample = pages[frames[:: max(len(frames) // SAMPLE_PAGES, 1)]].tobytes()
    speed = measure_codec(codec, sample)
    source.qmp.execute("cont")
    return speed
