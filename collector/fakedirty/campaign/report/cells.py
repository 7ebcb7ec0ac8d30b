"""Cells: the runs that differ only in treatment and block. Only they can be compared with one another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

FACTORS = ("workload", "memory_mib", "mbit", "vcpus")
BASELINE = "vanilla"


@dataclass(frozen=True, slots=True)
class Cell:
    """One combination of factors.

    Attributes:
        factors: the value of each factor, by its column.
        runs: the runs of every treatment, a row each.
    """

    factors: dict[str, object]
    runs: pd.DataFrame

    @property
    def title(self) -> str:
        """All factors: ``workingset, 512 MiB, 1000 Mbit/s, 1 vCPU``."""
        return self.named(FACTORS)

    def named(self, factors: Sequence[str]) -> str:
        """Some of the factors, in the same form."""
        return ", ".join(factor_text(name, self.factors[name]) for name in factors)

    def of(self, treatment: str) -> pd.DataFrame:
        """The runs of one treatment, in the order of their blocks."""
        return self.runs[self.runs["treatment"] == treatment].sort_values(["block", "repetition"])

    def select(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The rows of a frame that have these factors. A factor that is not known matches rows where it is missing."""
        for name, value in self.factors.items():
            frame = frame[frame[name].isna() if not_known(value) else frame[name] == value]
        return frame


def not_known(value: object) -> bool:
    """Whether a single value is missing."""
    return bool(pd.isna(value))  # type: ignore[call-overload]


def factor_text(factor: str, value: object) -> str:
    """One factor with its unit: ``512 MiB``."""
    if not_known(value):
        return {"mbit": "no limit of bandwidth"}.get(factor, f"{factor} not known")
    match factor:
        case "memory_mib":
            return f"{value:g} MiB"
        case "mbit":
            return f"{value:g} Mbit/s"
        case "vcpus":
            return f"{value:g} vCPU{'' if value == 1 else 's'}"
        case _:
            return str(value)


def cells(runs: pd.DataFrame) -> list[Cell]:
    """Every combination of factors that was run, in the order of the factors."""
    if runs.empty:
        return []
    grouped = runs.groupby(list(FACTORS), dropna=False, sort=True)
    return [Cell(dict(zip(FACTORS, key, strict=True)), frame) for key, frame in grouped]


def treatments(runs: pd.DataFrame, wanted: Sequence[str] = ()) -> list[str]:
    """The treatments that were run: the baseline first, then in the order of `wanted`, then by name."""
    there = {str(name) for name in runs["treatment"].dropna()}
    order = [BASELINE, *wanted, *sorted(there)]
    return [name for name in dict.fromkeys(order) if name in there]
