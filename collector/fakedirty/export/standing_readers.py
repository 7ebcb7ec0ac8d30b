"""How the metrics of where a migration stands are read: its progress, its stall and its dirty rate."""

from __future__ import annotations

from fakedirty.model.dirty_rate import dirty_rate

from .readers import Values, estimates
from .tracked_migration import TrackedMigration

VCPUS_SHOWN = 64  # the first ones


def progress_ratio(tracked: TrackedMigration) -> Values:
    """The share of the expected total time that has passed."""
    if (ratio := tracked.migration.progress.ratio) is not None:
        yield (), ratio


def time_left(tracked: TrackedMigration) -> Values:
    """Seconds to the predicted end, while the migration runs and an end is predicted."""
    left = tracked.migration.progress.left_seconds
    if tracked.active:
        yield from estimates(left)


def stalled_rounds(tracked: TrackedMigration) -> Values:
    """The length of the stall, 0 without one; nothing where rounds cannot be compared."""
    stretch = tracked.migration.stretch
    if stretch is not None:
        yield (), stretch.rounds if stretch.is_stall else 0


def dirty_rates(tracked: TrackedMigration) -> Values:
    """Pages that get dirty in a second."""
    if (rate := dirty_rate(tracked.migration.rounds, tracked.migration.block_visits)) is not None:
        yield (), rate.pages


def vcpu_dirty_rates(tracked: TrackedMigration) -> Values:
    """Bytes that a vCPU dirties in a second, where QEMU measures them."""
    rates = tracked.migration.vcpu_rates or {}
    for index in sorted(rates)[:VCPUS_SHOWN]:
        yield (str(index),), rates[index]


def block_dirty_rates(tracked: TrackedMigration) -> Values:
    """The same by RAM block, where page records show it."""
    rate = dirty_rate(tracked.migration.rounds, tracked.migration.block_visits)
    for block, pages in (rate.blocks or {}).items() if rate is not None else ():
        yield (block,), pages
