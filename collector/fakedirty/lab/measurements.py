"""What is measured beside an experiment: one method for each stage of it."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from fakedirty.model.migration import Migration

from .machine import Machine
from .memory_compare import MemoryReport
from .migrate import MigrationResult


@dataclass(frozen=True, slots=True)
class GuestPair:
    """The source and the destination of an experiment. The guest of each writes its files into its directory."""

    source: Machine
    destination: Machine
    source_directory: Path
    destination_directory: Path


class Measurements:
    """The stages of an experiment, in their order. Here each does nothing; a subclass measures.

    An experiment that fails leaves out the stages that it does not reach.
    """

    def beside_machines(self, pair: GuestPair) -> AbstractContextManager[object]:
        """Entered when both machines have started, left before they end."""
        return nullcontext()

    def guest_at_work(self, pair: GuestPair) -> None:
        """The guest is at work on the source. Nobody observes it yet."""

    def beside_migration(self, pair: GuestPair) -> AbstractContextManager[object]:
        """Entered when the observer is attached, left when the migration is over."""
        return nullcontext()

    def measured(self, pair: GuestPair, rounds: int) -> None:
        """The migration has ended, or has reached its time limit. Called once.

        Args:
            pair: the machines; the guest still runs on the source if this is the time limit.
            rounds: how many rounds the observer has seen the end of.
        """

    def migrated(self, pair: GuestPair, outcome: MigrationResult) -> None:
        """The migration is over."""

    def observed(self, migration: Migration | None) -> None:
        """The observer has seen the end of the migration. None: it sees nothing of this QEMU."""

    def compared(self, pair: GuestPair, memory: MemoryReport) -> None:
        """The memory was compared. The guest is on the destination, and stopped. Only if the migration completed."""
