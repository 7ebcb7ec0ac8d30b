"""What runs are compared by: a table of metrics, and what a run that was cut off says of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import numpy as np
import pandas as pd

from fakedirty.format.numbers import compact, milliseconds, seconds, size

from .statistics import Truths, Values


class CutOff(Enum):
    """What the figure of a run is worth that did not complete."""

    GROWS = "it would have been greater: censored at what was seen"
    LEFT_OUT = "there is none: only completed runs have it"
    KEPT = "it is one like any other, unless the run failed"


@dataclass(frozen=True, slots=True)
class Metric:
    """A column of `runs`: `text` writes a figure that is not negative, `unit` is the column's own.

    What is drawn has its figures times `scale`, which makes them `axis`.
    """

    column: str
    title: str
    unit: str
    text: Callable[[float], str]
    cut_off: CutOff
    axis: str = ""
    scale: float = 1

    def signed(self, value: float) -> str:
        """A difference, with its sign; that of two shares is in points of a hundred."""
        sign = "−" if value < 0 else "+" if value > 0 else ""
        return f"{sign}{100 * abs(value):.1f} points" if self.unit == "ratio" else f"{sign}{self.text(abs(value))}"

    def sample(self, runs: pd.DataFrame) -> Sample:
        """The figures of those of `runs` that have one."""
        values, outcome = numbers(runs[self.column]), runs["outcome"].to_numpy(dtype=object)
        completed = outcome == "completed"
        if self.column == TOTAL_TIME:
            # a run that failed before its migration began says only that it takes some time
            limit = np.where(outcome == "time-limit", 1000 * numbers(runs["time_limit_seconds"]), 0.0)
            values = np.where(completed, values, np.fmax(values, limit))
        censored = ~completed & (self.cut_off is CutOff.GROWS)
        has = (
            ~np.isnan(values)
            & {
                CutOff.GROWS: np.ones(len(runs), bool),
                CutOff.LEFT_OUT: completed,
                CutOff.KEPT: outcome != "failed",
            }[self.cut_off]
        )
        unended = censored & (outcome == "time-limit")
        return Sample(
            values[has], np.asarray(censored[has], bool), np.asarray(unended[has], bool), runs.index.to_numpy()[has]
        )


@dataclass(frozen=True, slots=True)
class Sample:
    """Figures of runs: where `censored`, the true one is greater; `rows` says whose it is, by the frame's index.

    Those `unended` were cut off by the time limit: they would have outgrown the runs that ended.
    """

    values: Values
    censored: Truths
    unended: Truths
    rows: np.ndarray


def numbers(column: pd.Series) -> Values:
    """A column as plain numbers; what is not known is NaN."""
    return np.asarray(pd.to_numeric(column).astype("Float64").to_numpy(dtype=float, na_value=np.nan), np.float64)


def _share(value: float) -> str:
    return f"{100 * value:.1f} %"


def _milliseconds(value: float) -> str:
    return milliseconds(round(value))


def _seconds(value: float) -> str:
    return f"{seconds(value)} s"


TOTAL_TIME = "total_time_ms"

METRICS = (
    Metric(TOTAL_TIME, "total time", "ms", _milliseconds, CutOff.GROWS, "s", 1e-3),
    Metric("downtime_ms", "downtime", "ms", _milliseconds, CutOff.LEFT_OUT, "ms"),
    Metric("outside_downtime_ms", "downtime from outside", "ms", _milliseconds, CutOff.LEFT_OUT),
    Metric("link_bytes", "traffic on the link", "bytes", size, CutOff.GROWS, "MB", 1e-6),
    Metric("bandwidth_use", "bandwidth use", "ratio", _share, CutOff.KEPT),
    Metric("rounds", "rounds", "rounds", compact, CutOff.GROWS),
    Metric("visited_pages", "visited pages", "pages", compact, CutOff.GROWS),
    Metric("fake_pages", "fake pages", "pages", compact, CutOff.GROWS),
    Metric("skipped_pages", "skipped pages", "pages", compact, CutOff.GROWS),
    Metric("hash_seconds", "hash time", "s", _seconds, CutOff.GROWS),
    Metric("migration_cpu_seconds", "CPU of the migration thread", "s", _seconds, CutOff.GROWS),
    Metric("vcpu_cpu_seconds", "CPU of the vCPUs", "s", _seconds, CutOff.GROWS),
    Metric("host_memory_bytes", "host memory", "bytes", size, CutOff.KEPT),
    Metric("degradation", "degradation of the service", "ratio", _share, CutOff.KEPT),
)

#: the three that are drawn, and that words are made of
HEADLINES = tuple(metric for metric in METRICS if metric.axis)
