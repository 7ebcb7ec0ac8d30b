"""A campaign file: what it may contain, and what is refused, by key."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError, field_validator

from fakedirty.errors import UsageError
from fakedirty.toml.document import Document, Problem, problems
from fakedirty.toml.tables import Table, refuse, unknown

from .treatments import ARMS
from .workloads.kinds import KINDS, WorkloadKind

ROUND = re.compile(r"round (\d+)")


def _treatment(name: str) -> str:
    if name not in ARMS:
        observed = [arm.name for arm in ARMS.values() if arm.observed]
        raise refuse(unknown("treatment", name, ARMS, listed=observed))
    return name


TreatmentName = Annotated[str, AfterValidator(_treatment)]


class Factors(Table):
    """``[factors]``: what a campaign varies. Each combination of workload, memory, bandwidth and vCPUs is a cell."""

    workload: list[str] = Field(min_length=1)
    memory_mib: list[int] = Field(min_length=1, default=[512])
    treatment: list[TreatmentName] = Field(min_length=1)
    mbit: list[int] = Field(min_length=1, default=[1000])
    vcpus: list[int] = Field(min_length=1, default=[1])

    @field_validator("*")
    @classmethod
    def _once(cls, values: list[Any]) -> list[Any]:
        if twice := sorted({str(value) for value in values if values.count(value) > 1}):
            raise refuse(f"named twice: {', '.join(twice)}")
        if small := [value for value in values if isinstance(value, int) and value < 1]:
            raise refuse(f"must be 1 or more, not {small[0]}")
        return values


class Toggle(Table):
    """``[[toggles]]``: a change of mode in a running migration.

    It applies to all treatments and repetitions, or to those that it names.
    """

    at: str | float
    mode: Literal["off", "observe", "skip"]
    hash: str | None = None
    treatments: list[str] = Field(default_factory=list)
    repetitions: list[int] = Field(default_factory=list)

    @field_validator("at")
    @classmethod
    def _moment(cls, at: str | float) -> str | float:
        if isinstance(at, str):
            found = ROUND.fullmatch(at)
            if found is None or int(found[1]) < 1:
                raise refuse(f'must be "round N", N from 1, or seconds from the start, not {at!r}')
        elif at < 0:
            raise refuse(f"must be 0 or more seconds from the start, not {at:g}")
        return at

    @property
    def after_round(self) -> int | None:
        """The round whose end it waits for; None for a toggle by the clock."""
        return int(self.at.removeprefix("round ")) - 1 if isinstance(self.at, str) else None

    @property
    def after_seconds(self) -> float | None:
        """Seconds from the start of the migration; None for a toggle by round."""
        return None if isinstance(self.at, str) else float(self.at)

    def applies(self, treatment: str, repetition: int) -> bool:
        """Whether it is made in a run of that treatment in that repetition."""
        return (not self.treatments or treatment in self.treatments) and (
            not self.repetitions or repetition in self.repetitions
        )


class Spec(Table):
    """The whole file."""

    name: str = Field(pattern=r"^[\w.+-]{1,60}$")
    seed: int = 1
    repetitions: int = Field(default=3, ge=1)
    time_limit_seconds: float = Field(default=60.0, gt=0)
    ready_limit_seconds: float = Field(default=240.0, gt=0)  # for a guest to boot and to begin its work
    downtime_limit_ms: int = Field(default=300, ge=1)
    service_seconds: float = Field(default=3.0, ge=0)  # how long the guest is measured before and after the migration
    level: Literal["qmp", "stock", "usdt", "patched"] = "patched"
    accelerator: Literal["tcg", "kvm"] = "tcg"
    audit: bool = False  # QEMU keeps a copy of every page, and counts pages that differ although their hashes are equal
    factors: Factors
    toggles: list[Toggle] = Field(default_factory=list)
    workloads: dict[str, dict[str, Any]] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CampaignFile:
    """A valid file: its text, its content, and its workloads by the names that the factors give."""

    text: str
    spec: Spec
    workloads: Mapping[str, WorkloadKind]


def read(path: Path) -> CampaignFile:
    """The campaign in a file.

    Raises:
        UsageError: The file cannot be read, or is refused; each line of the message has file, line and key.
    """
    return _checked(Document.read(path))


def parse(text: str) -> CampaignFile:
    """The campaign in a text; as :func:`read`, without the name of a file."""
    return _checked(Document(text))


def _checked(document: Document) -> CampaignFile:
    spec = document.checked(Spec)
    workloads: dict[str, WorkloadKind] = {}
    found = [*_workloads(spec, workloads), *_contradictions(spec)]
    if found := found or list(_too_small(spec, workloads)):
        raise document.refusal(found)
    return CampaignFile(document.text, spec, workloads)


def _workloads(spec: Spec, made: dict[str, WorkloadKind]) -> Iterator[Problem]:
    """Put the workloads of the factors into `made`; the problems of their tables, and of the file's other ones."""
    for name, table in spec.workloads.items():
        key = ("workloads", name)
        kind = table.get("kind", name)
        if not isinstance(kind, str) or kind not in KINDS:
            yield Problem((*key, "kind"), unknown("kind", str(kind), KINDS))
            continue
        try:
            made[name] = KINDS[kind].model_validate(table)
        except ValidationError as error:
            yield from problems(error, KINDS[kind], key)
    for number, name in enumerate(spec.factors.workload):
        if name in spec.workloads:
            continue
        if name in KINDS:
            made[name] = KINDS[name]()
        else:
            reason = unknown("workload", name, [*spec.workloads, *KINDS])
            yield Problem(("factors", "workload", number), reason)


def _contradictions(spec: Spec) -> Iterator[Problem]:
    """Toggles of treatments or repetitions that the campaign does not have."""
    for number, toggle in enumerate(spec.toggles):
        for at, name in enumerate(toggle.treatments):
            if name not in spec.factors.treatment:
                known = unknown("treatment of this campaign", name, spec.factors.treatment)
                yield Problem(("toggles", number, "treatments", at), known)
        for at, repetition in enumerate(toggle.repetitions):
            if not 1 <= repetition <= spec.repetitions:
                reason = f"must be from 1 to {spec.repetitions}, not {repetition}"
                yield Problem(("toggles", number, "repetitions", at), reason)


def _too_small(spec: Spec, workloads: Mapping[str, WorkloadKind]) -> Iterator[Problem]:
    """Guests whose memory does not hold their workload."""
    memories = enumerate(spec.factors.memory_mib)
    for (number, memory), name in product(memories, spec.factors.workload):
        try:
            workloads[name].check(memory)
        except UsageError as error:
            yield Problem(("factors", "memory_mib", number), f"with workload {name}: {error}")
