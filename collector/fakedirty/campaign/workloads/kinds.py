"""The kinds of workload by name: each is the model of a table ``[workloads.NAME]`` of a campaign file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from .metered_load import MeteredLoad
from .page_sets import Idle, WorkingSet
from .programs import PROGRAMS, Program


class WorkloadKind(Protocol):
    """A workload with its parameters, for a guest of any size."""

    def check(self, memory_mib: int) -> None:
        """Check that a guest has room for this workload.

        Args:
            memory_mib: memory of the guest, in MiB.

        Raises:
            UsageError: it has not.
        """

    def load(self, memory_mib: int) -> MeteredLoad:
        """The workload in a guest of `memory_mib` MiB. The guest is built unless it is cached."""

    @property
    def guest(self) -> str:
        """Name of the ground-truth guest that runs under every accelerator under which this guest runs."""

    @property
    def boot_seconds(self) -> float:
        """Seconds until the guest is at work, roughly: for the estimate of a campaign."""


#: A kind is also a workload of its own, with the defaults of its table.
KINDS: Mapping[str, type[Idle] | type[WorkingSet] | type[Program]] = {
    "workingset": WorkingSet,
    "idle": Idle,
    **PROGRAMS,
}
