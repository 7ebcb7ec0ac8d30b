"""What a benchmark is to the command that runs it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Benchmark:
    """Its jobs, what makes a run of one, and how runs are kept, told and summed up."""

    settings: dict[str, Any]
    jobs: Sequence[Any]
    measuring: Callable[[], AbstractContextManager[Callable[[Any], Any]]]
    made_type: type[Any]
    job_type: type[Any]
    line: Callable[[Any], str]
    tables: Callable[[Sequence[Any]], Iterable[object]]
    most_seconds: float  # that one job takes
    wrong: Callable[[Any], bool] = lambda made: False  # whether a run shows that a memory was not equal
