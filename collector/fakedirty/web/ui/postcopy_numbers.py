"""What QEMU reported of pages that were still to come: how many bytes are left, and how long postcopy's pages took."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate

from fakedirty.format.numbers import UNSEEN, size
from fakedirty.model.migration import Migration

MOST_PAGES = 0.9  # the share of pages that the line of the distribution is about


def postcopy_numbers(migration: Migration) -> Iterable[tuple[str, str]]:
    """The names and values of what the last query-migrate has; nothing for what it lacks."""
    remaining = migration.remaining_bytes
    if remaining is not None and migration.state != "completed":
        yield "left to send, with devices", size(remaining)
    if latency_ns := migration.reported("postcopy-latency"):  # QEMU reports 0 where no thread waited
        yield "postcopy, wait for a page", latency(latency_ns)
    if latency_ns := migration.reported("postcopy-non-vcpu-latency"):
        yield "of threads that are no vCPU", latency(latency_ns)
    if (by_vcpu := _counts(migration, "postcopy-vcpu-latency")) is not None and any(by_vcpu):
        yield "of each vCPU", ", ".join(latency(ns) if ns else UNSEEN for ns in by_vcpu)
    if (counts := _counts(migration, "postcopy-latency-dist")) is not None and any(counts):
        yield f"{MOST_PAGES:.0%} of the pages took less than", latency(most_took_ns(counts))


def most_took_ns(counts: Sequence[int]) -> int:
    """The end of the interval within which most waits lie.

    Args:
        counts: waits by length: the entry N counts those of 2^N µs or more, and less than 2^(N+1) µs. At least one.
    """
    sums = accumulate(counts)
    number = next(number for number, passed in enumerate(sums) if passed >= MOST_PAGES * sum(counts))
    return 1_000 << (number + 1)


def latency(ns: int) -> str:
    """A time of nanoseconds to seconds, with three digits.

    >>> latency(1), latency(999_999), latency(1_048_576_000)
    ('1 ns', '1 ms', '1.05 s')
    """
    for unit, length in (("ns", 1), ("µs", 1_000), ("ms", 1_000_000)):
        if round(ns / length) < 1_000:
            return f"{ns / length:.3g} {unit}"
    return f"{ns / 1e9:,.2f} s"


def _counts(migration: Migration, name: str) -> list[int] | None:
    """A list of numbers in the last query-migrate; None where it has none, or something else."""
    found = migration.report.get(name)
    if not isinstance(found, list) or not found or not all(type(each) is int and each >= 0 for each in found):
        return None
    return found
