"""How far the clocks of two hosts are apart: between what, by the errors of both, and by what happened on both.

The offset is what the destination's clock shows more than the source's, at one moment.
"""

from __future__ import annotations

from dataclasses import dataclass

from .half import Half

_ONE_CLOCK_NS = 10**9  # steps of one host's clock between the starts of two recordings, at most
_ROUNDED_NS = 2_000  # two dates, each of whole microseconds


@dataclass(frozen=True, slots=True)
class Offset:
    """The bounds of an offset, in ns; `low_ns` is None where nothing bounds that side."""

    low_ns: int | None
    high_ns: int


def by_clocks(source: Half, destination: Half) -> Offset | None:
    """The bounds by what both hosts know of the errors of their clocks.

    Returns:
        None where a clock was not synchronised, or the recording does not have its error. Two recordings of one host
        have one clock, whose error does not matter.
    """
    boot = source.clock.boot_id
    apart_ns = destination.clock.wall_minus_monotonic_ns - source.clock.wall_minus_monotonic_ns
    if boot and boot == destination.clock.boot_id and abs(apart_ns) <= _ONE_CLOCK_NS:
        return Offset(apart_ns - _ROUNDED_NS, apart_ns + _ROUNDED_NS)
    last_ns = source.started_ns if source.ended_ns is None else source.ended_ns
    errors = source.error_ns(last_ns), destination.error_ns(destination.resumed_ns or destination.started_ns)
    if errors[0] is None or errors[1] is None:
        return None
    return Offset(-errors[0] - errors[1], errors[0] + errors[1])


def by_states(source: Half, destination: Half) -> Offset:
    """The bounds by what happened on both hosts, in an order that is known.

    The guest arrives after the source has stopped it. With a return path the source completes after the guest has
    arrived; without one, nothing on the source comes after the arrival.
    """
    before_ns = source.started_ns if source.stopped_ns is None else source.stopped_ns
    arrived_ns = destination.started_ns
    low_ns = arrived_ns - source.ended_ns if source.return_path and source.ended_ns is not None else None
    return Offset(low_ns, arrived_ns - before_ns)
