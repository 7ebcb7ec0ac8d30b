"""The convergence benchmark for guests whose pages compress: skipping before compression, and each of the two alone.

On two cores the comparison is fair if compression waits for the link, and not for the CPU: see `FairnessCheck`.
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

MBIT = 400  # per second: the default rate of the link
RAM = "pc.ram"
SAMPLE_PAGES = 16_384  # that are compressed to measure ratio and speed
TEXT = 7  # words of every 16, like the values between the fields of a store's records

LEAST_RATIO = 2.5
MOST_OF_CODEC = 0.5  # the rate of the link as a share of the compressed bytes that one thread makes
LEAST_ROUNDS = 4

#: Half of the rewritten pages are fake, written evenly over three seconds; half of them, with pauses; nearly all.
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
    """Whether compression alone can gain anything on a mix, and has enough CPU for that.

    `ratio` and `codec_bytes_per_second` are those of the codec alone, in one thread. `rounds` are the fewest of all
    runs with compression and without skip.
    """

    ratio: float
    codec_bytes_per_second: float
    link_bytes_per_second: float
    rounds: int

    @property
    def share_of_codec(self) -> float:
        """The rate of the link as a share of the compressed bytes that one thread makes."""
        return self.link_bytes_per_second / (self.codec_bytes_per_second / self.ratio)

    @property
    def holds(self) -> bool:
        """Whether all three conditions are met."""
        return self.ratio >= LEAST_RATIO and self.share_of_codec <= MOST_OF_CODEC and self.rounds >= LEAST_ROUNDS


def check_fairness(runs: Sequence[ConvergenceRun], codec: str, link_bytes_per_second: float) -> FairnessCheck | None:
    """Check the conditions for a codec, by the runs on one mix; None if it was not run with and without skip."""
    alone = [run for run in runs if run.job.treatment == f"multifd+{codec}"]
    both = [run for run in runs if run.job.treatment == f"skip+multifd+{codec}"]
    ratios = [run.codec_ratio for run in (*alone, *both) if run.codec_ratio is not None]
    speeds = [run.codec_bytes_per_second for run in (*alone, *both) if run.codec_bytes_per_second is not None]
    if not alone or not both or not ratios or not speeds:
        return None
    return FairnessCheck(median(ratios), median(speeds), link_bytes_per_second, min(run.rounds for run in alone))


def limit_seconds(run: ConvergenceRun, mix: Mix, treatment: Treatment, link_bytes_per_second: float) -> float:
    """The least time for a treatment: the bulk round and one pass of changed pages, by the slower of link and CPU."""
    return max(run.limit_seconds(mix, link_bytes_per_second), run.codec_seconds(mix, treatment.channels or 1))


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
    """As :func:`convergence.measure`; before it, the codec alone is measured on the pages of the guest."""

    def codec_speed(source: Machine, report: GuestReport) -> CodecSpeed | None:
        return None if treatment.codec is None else _codec_speed(treatment.codec, source, report)

    return convergence.measure(
        job, mix, treatment, qemu, guest, time_limit=time_limit, link_bits=link_bits, codec_speed=codec_speed
    )


def _codec_speed(codec: str, source: Machine, report: GuestReport) -> CodecSpeed:
    """Measure the codec on a sample of all sets. The guest is stopped, so that the codec has a core for itself."""
    source.qmp.execute("stop")
    content = block_content(Side(source.qmp, source.pid), RAM)
    pages = np.frombuffer(content, np.uint8).reshape(-1, PAGE_BYTES)
    frames = np.sort(np.concatenate(list(report.sets.values())))
    sample = pages[frames[:: max(len(frames) // SAMPLE_PAGES, 1)]].tobytes()
    speed = measure_codec(codec, sample)
    source.qmp.execute("cont")
    return speed
