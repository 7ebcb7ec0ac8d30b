"""Cells: the runs that differ in nothing but the treatment and the block, which alone can be compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

FACTORS = ("workload", "memory_mib", "mbit", "vcpus")
BASELINE = "vanilla"


@dataclass(frozen=True, slots=True)
class Cell:
    """One combination of factors, by column; `runs` are its runs of every treatment."""

    factors: dict[str, object]
    runs: pd.DataFrame

    @property
    def title(self) -> str:
        """In words: ``workingset, 512 MiB, 1000 Mbit/s, 1 vCPU``."""
        return self.named(FACTORS)

    def named(self, factors: Sequence[str]) -> str:
        """Some of the factors in words."""
        return ", ".join(said(name, self.factors[name]) for name in factors)

    def of(self, treatment: str) -> pd.DataFrame:
        """The runs of one treatment, in the order of their blocks."""
        return self.runs[self.runs["treatment"] == treatment].sort_values(["block", "repetition"])

    def select(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The rows of a frame with its factors; one that is not known equals another that is not."""
        for name, value in self.factors.items():
            frame = frame[frame[name].isna() if not_known(value) else frame[name] == value]
        return frame


def not_known(value: object) -> bool:
    """Whether a single value is missing."""
    return bool(pd.isna(value))  # type: ignore[call-overload]


def said(factor: str, value: object) -> str:
    """One factor in words."""
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
    """Every combination that was run, in order of the factors."""
    if runs.empty:
        return []
    grouped = runs.groupby(list(FACTORS), dropna=False, sort=True)
    return [Cell(dict(zip(FACTORS, key, strict=True)), frame) for key, frame in grouped]


def treatments(runs: pd.DataFrame, wanted: Sequence[str] = ()) -> list[str]:
    """Those that were run: the baseline first, then in the order of `wanted`, then by name."""
    there = {str(name) for name in runs["treatment"].dropna()}
    order = [BASELINE, *wanted, *sorted(there)]
    return [name for name in dict.fromkeys(order) if name in there]
