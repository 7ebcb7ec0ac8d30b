"""The input of a report: a campaign as its frames, with the facts that it was made with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import pandas as pd

#: facts of a plan that a report has elsewhere, or not at all
NOT_LISTED = ("name", "left_out", "file")


class ReportInputs(Protocol):
    """A campaign, as `fakedirty.campaign.frames.load` returns it. That class describes the members."""

    @property
    def name(self) -> str:
        """Name of the campaign."""

    @property
    def spec(self) -> Mapping[str, Any]:
        """The content of the campaign file."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """What the plan has beside the runs."""

    @property
    def planned(self) -> int:
        """How many runs the plan has."""

    @property
    def runs(self) -> pd.DataFrame:
        """A row for each run that was made."""

    @property
    def rounds(self) -> pd.DataFrame:
        """A row for each round of each run."""

    @property
    def toggles(self) -> pd.DataFrame:
        """A row for each change of mode or hash."""

    @property
    def service(self) -> pd.DataFrame:
        """A row for each sample of a guest's throughput."""

    @property
    def left_out(self) -> Sequence[Mapping[str, str]]:
        """The treatments that QEMU refused: `treatment` and `reason` of each."""


def listed_facts(facts: Mapping[str, Any]) -> dict[str, str]:
    """The facts of a plan as lines of a table, nested ones by their path: ``versions.kernel``."""
    return dict(_flat("", {name: value for name, value in facts.items() if name not in NOT_LISTED}))


def treatment_order(spec: Mapping[str, Any]) -> list[str]:
    """The treatments in the order of the campaign file."""
    factors = spec.get("factors")
    named = factors.get("treatment") if isinstance(factors, Mapping) else None
    return [str(name) for name in named] if isinstance(named, list) else []


def _flat(prefix: str, value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _flat(f"{prefix}.{name}" if prefix else str(name), inner)
    elif isinstance(value, list):
        yield prefix, ", ".join(map(str, value))
    elif value is not None:
        yield prefix, str(value)
