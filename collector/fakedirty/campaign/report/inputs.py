"""What a report is made of: the frames of a campaign as they are read back, and what its directory says of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from fakedirty.record.load import json_object

PLAN = "campaign.json"
#: parts of the plan that are not facts about how it was made
NO_FACTS = ("name", "runs", "left_out", "file", "text")


class ReportInputs(Protocol):
    """A campaign as `fakedirty.campaign.frames.load` gives it."""

    @property
    def name(self) -> str:
        """As the file has it."""

    @property
    def spec(self) -> Mapping[str, Any]:
        """The content of the file."""

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
        """A row for each sample of what a guest got done."""

    @property
    def left_out(self) -> Sequence[Mapping[str, str]]:
        """Treatments that QEMU refused: `treatment`, `reason`."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What the directory of a campaign says beside its runs; `planned` is None where it says nothing."""

    planned: int | None
    facts: Mapping[str, str]


def plan_of(directory: Path) -> Plan:
    """From the plan in a directory; RecordError where it cannot be read, an empty one where there is none."""
    if not (directory / PLAN).exists():
        return Plan(None, {})
    content = json_object(directory / PLAN)
    runs = content.get("runs")
    facts = {name: value for name, value in content.items() if name not in NO_FACTS}
    return Plan(len(runs) if isinstance(runs, list) else None, dict(_flat("", facts)))


def order_of(spec: Mapping[str, Any]) -> list[str]:
    """Treatments in the order in which the file names them."""
    factors = spec.get("factors")
    named = factors.get("treatment") if isinstance(factors, Mapping) else None
    return [str(name) for name in named] if isinstance(named, list) else []


def _flat(prefix: str, value: object) -> Iterator[tuple[str, str]]:
    """Nested content as lines: ``versions.kernel``."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _flat(f"{prefix}.{name}" if prefix else str(name), inner)
    elif isinstance(value, list):
        yield prefix, ", ".join(map(str, value))
    elif value is not None:
        yield prefix, str(value)
