"""The result of one fuzzed migration."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from fakedirty.lab.memory_compare import MemoryReport

from .checks import LEAST_ROUNDS
from .coverage import AdoptedToggle
from .plans.faults import KILLED_IN_POSTCOPY
from .plans.plan import Plan
from .switchover_costs import SwitchoverCost

LEAST_SKIPPED = 1000


@dataclass(slots=True)
class FuzzResult:
    """The result of carrying out a plan.

    Attributes:
        plan: that was carried out.
        rounds: of the migration that completed.
        skipped: pages that it skipped.
        seconds: that all attempts took.
        checked_expectation: whether the pages of the switchover were compared with the expected ones.
        dirty_limit_held: whether dirty-limit held vCPUs back: it does so only if the guest writes enough.
        faults: those that took effect, each with its moment or what came of it.
        postcopy_pages: that were left to postcopy; None if there was none.
        switchover: what the switchover cost; None if QEMU does not report it.
        memory: the comparison of both sides; None if there was nothing to compare.
        toggles: those that QEMU adopted.
        errors: all that is wrong.
    """

    plan: Plan
    rounds: int = 0
    skipped: int = 0
    seconds: float = 0.0
    checked_expectation: bool = False
    dirty_limit_held: bool = False
    faults: list[tuple[str, str]] = field(default_factory=list)
    postcopy_pages: int | None = None
    switchover: SwitchoverCost | None = None
    memory: MemoryReport | None = None
    toggles: list[AdoptedToggle] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @property
    def counted(self) -> bool:
        """Whether the migration is a test of skipping: memory was compared, and enough pages were skipped."""
        return self.memory is not None and self._skipped_enough

    @property
    def covered_toggles(self) -> list[AdoptedToggle]:
        """The toggles for the table of coverage: all that were adopted, if the migration is counted.

        If the destination was killed in postcopy, there is no memory to compare. Then the toggles have met that fault
        alone.
        """
        if self.counted:
            return self.toggles
        if not self._skipped_enough:
            return []
        return [
            replace(toggle, features=(KILLED_IN_POSTCOPY,))
            for toggle in self.toggles
            if KILLED_IN_POSTCOPY in toggle.features
        ]

    @property
    def _skipped_enough(self) -> bool:
        return self.rounds >= LEAST_ROUNDS and self.skipped >= LEAST_SKIPPED
