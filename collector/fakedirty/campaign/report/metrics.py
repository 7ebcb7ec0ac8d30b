"""The metrics by which runs are compared: a table, and what each metric is worth of a run that was cut off."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import numpy as np
import pandas as pd

from fakedirty.format.numbers import compact, milliseconds, seconds, size

from .statistics import Truths, Values


class CutOff(Enum):
    """What the value of a run that did not complete is worth."""

    GROWS = "it would have grown: it is censored at the value that was measured"
    LEFT_OUT = "there is none: only completed runs have it"
    KEPT = "it is a value like any other, unless the run failed"


@dataclass(frozen=True, slots=True)
class RunMetric:
    """A column of the runs.

    Attributes:
        column: its name.
        title: its name in a report.
        unit: its unit.
        text: writes a value that is not negative, with a unit.
        cut_off: what the value of a run that did not complete is worth.
        axis: unit in charts. A metric without one is not drawn.
        scale: a value times this is in the unit of the charts.
    """

    column: str
    title: str
    unit: str
    text: Callable[[float], str]
    cut_off: CutOff
    axis: str = ""
    scale: float = 1

    def signed(self, value: float) -> str:
        """A difference with its sign. The difference of two shares is in percentage points."""
        sign = "−" if value < 0 else "+" if value > 0 else ""
        return f"{sign}{100 * abs(value):.1f} points" if self.unit == "ratio" else f"{sign}{self.text(abs(value))}"

    def sample(self, runs: pd.DataFrame) -> MetricSample:
        """The values of those runs that have one."""
        values, outcome = numbers(runs[self.column]), runs["outcome"].to_numpy(dtype=object)
        completed = outcome == "completed"
        if self.column == TOTAL_TIME:
            # of a run that failed before its migration began, it is only known that it takes some time
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
        return MetricSample(
            values[has], np.asarray(censored[has], bool), np.asarray(unended[has], bool), runs.index.to_numpy()[has]
        )


@dataclass(frozen=True, slots=True)
class MetricSample:
    """The values of one metric, as arrays of one length.

    Attributes:
        values: a value for each run that has one.
        censored: the true value is greater.
        unended: the run was cut off by the time limit, so its value would have outgrown those of the runs that ended.
        rows: the index of the run in the frame of the runs.
    """

    values: Values
    censored: Truths
    unended: Truths
    rows: np.ndarray


def numbers(column: pd.Series) -> Values:
    """A column as plain numbers; NaN is not known."""
    return np.asarray(pd.to_numeric(column).astype("Float64").to_numpy(dtype=float, na_value=np.nan), np.float64)


def _share(value: float) -> str:
    return f"{100 * value:.1f} %"


def _milliseconds(value: float) -> str:
    return milliseconds(round(value))


def _seconds(value: float) -> str:
    return f"{seconds(value)} s"


TOTAL_TIME = "total_time_ms"

METRICS = (
    RunMetric(TOTAL_TIME, "total time", "ms", _milliseconds, CutOff.GROWS, "s", 1e-3),
    RunMetric("downtime_ms", "downtime", "ms", _milliseconds, CutOff.LEFT_OUT, "ms"),
    RunMetric("outside_downtime_ms", "observed downtime", "ms", _milliseconds, CutOff.LEFT_OUT),
    RunMetric("link_bytes", "traffic on the link", "bytes", size, CutOff.GROWS, "MB", 1e-6),
    RunMetric("bandwidth_use", "bandwidth use", "ratio", _share, CutOff.KEPT),
    RunMetric("rounds", "rounds", "rounds", compact, CutOff.GROWS),
    RunMetric("visited_pages", "visited pages", "pages", compact, CutOff.GROWS),
    RunMetric("fake_pages", "fake pages", "pages", compact, CutOff.GROWS),
    RunMetric("skipped_pages", "skipped pages", "pages", compact, CutOff.GROWS),
    RunMetric("hash_seconds", "hash time", "s", _seconds, CutOff.GROWS),
    RunMetric("migration_cpu_seconds", "CPU of the migration thread", "s", _seconds, CutOff.GROWS),
    RunMetric("vcpu_cpu_seconds", "CPU of the vCPUs", "s", _seconds, CutOff.GROWS),
    RunMetric("host_memory_bytes", "host memory", "bytes", size, CutOff.KEPT),
    RunMetric("degradation", "degradation", "ratio", _share, CutOff.KEPT),
)

#: the metrics that are drawn
HEADLINES = tuple(metric for metric in METRICS if metric.axis)
