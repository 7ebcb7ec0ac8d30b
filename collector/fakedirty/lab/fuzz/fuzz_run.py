"""A fuzz run: plan after plan carried out on one network, and the results with their coverage."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from fakedirty.lab.guests.recipes import build_guest
from fakedirty.lab.guests.workload import PROBE
from fakedirty.lab.network import shaped_network
from fakedirty.lab.rig import Rig

from .coverage import ENOUGH, Coverage
from .plan_run import run_plan
from .plans.draw_plan import draw_plan
from .plans.memory_layouts import HUGE_PAGES, reserved_huge_pages
from .plans.possibilities import Possibilities
from .probe import GUEST, HUGE_MIB
from .result import FuzzResult

NAMED_CELLS = 5  # that a message about missing coverage has


def fuzz(
    qemu: Path, seed: int, indexes: Iterable[int], possibilities: Possibilities
) -> Generator[FuzzResult, None, None]:
    """Run migrations one after the other.

    Args:
        qemu: the binary of both sides.
        seed: of all plans.
        indexes: of the migrations to run.
        possibilities: what the plans are drawn from. If huge pages are among them, they are reserved meanwhile.
    """
    guest = build_guest(GUEST)
    with (
        reserved_huge_pages(HUGE_MIB if HUGE_PAGES in possibilities.memories else 0),
        shaped_network() as network,
    ):
        rig = Rig(qemu, guest, PROBE, network)
        for index in indexes:
            yield run_plan(draw_plan(seed, index, possibilities), rig)


@dataclass(slots=True)
class FuzzRun:
    """The results of a fuzz run so far, and their coverage.

    If `complete` is given, the run has to reach so many counted migrations, and ENOUGH of them in each cell of the
    coverage.
    """

    qemu: Path
    seed: int
    possibilities: Possibilities
    complete: int | None = None
    results: list[FuzzResult] = field(default_factory=list)
    coverage: Coverage = field(init=False)

    def __post_init__(self) -> None:
        self.coverage = Coverage(self.possibilities)

    def migrate(self, indexes: Iterable[int]) -> Generator[FuzzResult, None, None]:
        """Run the migrations of these indexes, until the run is complete if it has to be."""
        with closing(fuzz(self.qemu, self.seed, indexes, self.possibilities)) as results:
            for result in results:
                self.add(result)
                yield result
                if self.complete is not None and not self.missing:
                    return

    def add(self, result: FuzzResult) -> None:
        """Add the result of one migration."""
        self.results.append(result)
        self.coverage.add(result.covered_toggles)

    @property
    def counted(self) -> int:
        """How many migrations count."""
        return sum(result.counted for result in self.results)

    @property
    def wrong_indexes(self) -> list[int]:
        """The indexes of the migrations in which something was wrong."""
        return [result.plan.index for result in self.results if result.errors]

    @property
    def missing(self) -> str:
        """What the run lacks to be complete; empty if it lacks nothing, or need not be complete."""
        if self.complete is None:
            return ""
        missing = [f"{self.counted} of {self.complete} migrations counted"] if self.counted < self.complete else []
        if cells := self.coverage.cells_below():
            named = ", ".join(f"{feature} × {kind}" for feature, kind in cells[:NAMED_CELLS])
            more = ", …" if len(cells) > NAMED_CELLS else ""
            missing.append(f"{len(cells)} cells are below {ENOUGH}: {named}{more}")
        return "; ".join(missing)
