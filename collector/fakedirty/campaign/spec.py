"""A campaign file: what it may say, and what is wrong with it, by key."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError, field_validator

from fakedirty.errors import UsageError

from .treatments import ARMS
from .validation import Table, problems, refuse, unknown
from .workloads.kinds import KINDS, WorkloadKind

ROUND = re.compile(r"round (\d+)")


def _treatment(name: str) -> str:
    if name not in ARMS:
        observed = [arm.name for arm in ARMS.values() if arm.observed]
        raise refuse(unknown("treatment", name, ARMS, listed=observed))
    return name


TreatmentName = Annotated[str, AfterValidator(_treatment)]


class Factors(Table):
    """``[factors]``: what is varied; each combination of workload, memory, bandwidth and vCPUs is a cell."""

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
    """``[[toggles]]``: a change of mode in a running migration, of all treatments and repetitions or of these."""

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
        """The round that ends when it is due; None for one by the clock."""
        return int(self.at.removeprefix("round ")) - 1 if isinstance(self.at, str) else None

    @property
    def after_seconds(self) -> float | None:
        """When it is due by the clock; None for one by round."""
        return None if isinstance(self.at, str) else float(self.at)

    def applies(self, treatment: str, repetition: int) -> bool:
        """Whether a run of that treatment in that repetition has it."""
        return (not self.treatments or treatment in self.treatments) and (
            not self.repetitions or repetition in self.repetitions
        )


class Spec(Table):
    """The whole file."""

    name: str = Field(pattern=r"^[\w.+-]{1,60}$")
    seed: int = 1
    repetitions: int = Field(default=3, ge=1)
    time_limit_seconds: float = Field(default=60.0, gt=0)
    ready_limit_seconds: float = Field(default=240.0, gt=0)  # for a guest to boot and get to work
    downtime_limit_ms: int = Field(default=300, ge=1)
    service_seconds: float = Field(default=3.0, ge=0)  # that the guest is watched before the migration, and after it
    level: Literal["qmp", "stock", "usdt", "patched"] = "patched"
    accelerator: Literal["tcg", "kvm"] = "tcg"
    audit: bool = False  # a copy of every page is kept, and what the hash takes for equal is counted
    factors: Factors
    toggles: list[Toggle] = Field(default_factory=list)
    workloads: dict[str, dict[str, Any]] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CampaignFile:
    """A file that is right: its text, what it says, and its workloads by the names that the factors give."""

    text: str
    spec: Spec
    workloads: Mapping[str, WorkloadKind]


def read(path: Path) -> CampaignFile:
    """The campaign in a file; UsageError tells all that is wrong with it, a line each."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {path}: {error}") from error
    try:
        return parse(text)
    except UsageError as error:
        raise UsageError(*(f"{path}: {line}" for line in str(error).split("\n"))) from error


def parse(text: str) -> CampaignFile:
    """The campaign that a text is; each line of a UsageError is a key and what is wrong there."""
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(str(error)) from error
    try:
        spec = Spec.model_validate(content)
    except ValidationError as error:
        raise UsageError(*problems(error, Spec)) from error
    workloads: dict[str, WorkloadKind] = {}
    wrong = [*_workloads(spec, workloads), *_contradictions(spec)]
    wrong = wrong or list(_too_small(spec, workloads))
    if wrong:
        raise UsageError(*wrong)
    return CampaignFile(text, spec, workloads)


def _workloads(spec: Spec, made: dict[str, WorkloadKind]) -> Iterator[str]:
    """Fill `made` with the workloads of the factors; what is wrong with their tables, or with others of the file."""
    for name, table in spec.workloads.items():
        kind = table.get("kind", name)
        if kind not in KINDS:
            yield f"workloads.{name}.kind: {unknown('kind', str(kind), KINDS)}"
            continue
        try:
            made[name] = KINDS[kind].model_validate(table)
        except ValidationError as error:
            yield from problems(error, KINDS[kind], f"workloads.{name}")
    for number, name in enumerate(spec.factors.workload):
        if name in spec.workloads:
            continue
        if name in KINDS:
            made[name] = KINDS[name]()
        else:
            yield f"factors.workload[{number}]: {unknown('workload', name, [*spec.workloads, *KINDS])}"


def _contradictions(spec: Spec) -> Iterator[str]:
    for number, toggle in enumerate(spec.toggles):
        for at, name in enumerate(toggle.treatments):
            if name not in spec.factors.treatment:
                known = unknown("treatment of this campaign", name, spec.factors.treatment)
                yield f"toggles[{number}].treatments[{at}]: {known}"
        for at, repetition in enumerate(toggle.repetitions):
            if not 1 <= repetition <= spec.repetitions:
                yield f"toggles[{number}].repetitions[{at}]: there are 1 to {spec.repetitions}, not {repetition}"


def _too_small(spec: Spec, workloads: Mapping[str, WorkloadKind]) -> Iterator[str]:
    """Guests that cannot have their workload."""
    memories = enumerate(spec.factors.memory_mib)
    for (number, memory), name in product(memories, spec.factors.workload):
        try:
            workloads[name].check(memory)
        except UsageError as error:
            yield f"factors.memory_mib[{number}]: with workload {name}: {error}"
