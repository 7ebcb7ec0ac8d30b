"""Whether two halves are of one migration, and what both together show."""

from __future__ import annotations

from dataclasses import dataclass

from fakedirty.errors import RecordError

from .half import COMPLETED, SOURCE, UNFINISHED, Half
from .offset import Offset, by_clocks, by_states

LOAD_SECONDS = 60.0  # from the source's end to the arrival, at most, where the source does not wait for it
MOST_APART_SECONDS = 86_400.0  # clocks that are not synchronised show the right day
BYTES_APART = 0.01  # of what the source sent, at most


@dataclass(frozen=True, slots=True)
class Match:
    """Two halves that are of one migration.

    Attributes:
        source: its half.
        destination: its half.
        by: what matched them.
        offset_low_ns: what the destination's clock shows more than the source's, at least.
        offset_high_ns: the same, at most.
        offset_by: what bounds it.
        downtime_ns: from the stop on the source to the run on the destination: at least, and at most. None where one
            of the two was not seen.
        no_downtime: why there is none; empty if there is one.
        remarks: what else does not agree.
    """

    source: Half
    destination: Half
    by: tuple[str, ...]
    offset_low_ns: int
    offset_high_ns: int
    offset_by: str
    downtime_ns: tuple[int, int] | None
    no_downtime: str
    remarks: tuple[str, ...]


def match(one: Half, other: Half) -> Match:
    """Match two halves, given in any order.

    Raises:
        RecordError: they are not of one migration; the message has the reason.
    """
    if one.side == other.side:
        raise RecordError(f"{one.name} and {other.name} are both recordings of a {one.side}")
    source, destination = (one, other) if one.side == SOURCE else (other, one)
    by = [_identity(source, destination), "time"]
    _check_ends(source, destination)
    low_ns, high_ns, offset_by = _offset(source, destination)
    remarks = []
    if (agree := bytes_agree(source, destination)) is not None:
        if agree:
            by.append("bytes")
        else:
            sent, received = source.sent_bytes, destination.sent_bytes
            remarks.append(f"the source reports {sent:,} bytes sent, the destination {received:,} received")
    downtime, why_not = _downtime(source, destination, low_ns, high_ns)
    return Match(source, destination, tuple(by), low_ns, high_ns, offset_by, downtime, why_not, tuple(remarks))


def bytes_agree(source: Half, destination: Half) -> bool | None:
    """Whether as many bytes were received as were sent; None where one side does not report them."""
    if source.sent_bytes is None or destination.sent_bytes is None:
        return None
    return abs(source.sent_bytes - destination.sent_bytes) <= BYTES_APART * source.sent_bytes


def _identity(source: Half, destination: Half) -> str:
    if source.uuid and destination.uuid:
        if source.uuid.lower() != destination.uuid.lower():
            raise RecordError(f"the guests are different: UUID {source.uuid} and UUID {destination.uuid}")
        return "UUID"
    if source.vm != destination.vm:
        raise RecordError(f"without a UUID on both sides the names of the VMs decide: {source.vm} and {destination.vm}")
    return "name"


def _check_ends(source: Half, destination: Half) -> None:
    for half in (source, destination):
        if half.outcome == UNFINISHED:
            raise RecordError(f"the recording of the {half.side} has no end: {half.directory}")
    if source.outcome != COMPLETED:
        raise RecordError(f"the guest did not leave the source: its migration ended as {source.outcome}, {source.name}")
    if destination.outcome != COMPLETED:
        raise RecordError(f"the guest did not arrive: its migration ended as {destination.outcome}, {destination.name}")


def _offset(source: Half, destination: Half) -> tuple[int, int, str]:
    """The bounds of the offset, and what they are from."""
    states, clocks = by_states(source, destination), by_clocks(source, destination)
    if clocks is None or clocks.low_ns is None:
        if states.low_ns is None:
            raise RecordError(
                "nothing bounds how far the clocks of the two hosts are apart: they were not both synchronised, and "
                "it is not known that the source waited for the destination (capability return-path)"
            )
        if states.low_ns > states.high_ns:
            raise RecordError("the times do not fit: the source completed before it stopped its guest")
        if min(abs(states.low_ns), abs(states.high_ns)) > MOST_APART_SECONDS * 1e9:
            raise RecordError(f"the times are more than a day apart: {_order(states)}")
        return states.low_ns, states.high_ns, "states"
    low_ns = clocks.low_ns if states.low_ns is None else max(clocks.low_ns, states.low_ns)
    high_ns = min(clocks.high_ns, states.high_ns)
    loaded_ns = destination.started_ns - (source.ended_ns or source.started_ns) - high_ns
    if low_ns > high_ns:
        most = f"the clocks of both hosts are at most {_words(clocks.high_ns)} apart"
        raise RecordError(f"the times do not fit: {_order(states)}, and {most}")
    if loaded_ns > LOAD_SECONDS * 1e9:
        raise RecordError(f"the times do not fit: the guest arrived {_words(loaded_ns)} after the source had completed")
    narrowed = (low_ns, high_ns) != (clocks.low_ns, clocks.high_ns)
    return low_ns, high_ns, "clocks and states" if narrowed else "clocks"


def _downtime(source: Half, destination: Half, low_ns: int, high_ns: int) -> tuple[tuple[int, int] | None, str]:
    if source.stopped_ns is None:
        return None, "the source's recording does not have when the guest was stopped; level qmp does not see it"
    if destination.resumed_ns is None:
        return None, "the guest arrived, and the destination had not run it when its recording ended"
    shown_ns = destination.resumed_ns - source.stopped_ns
    return (max(0, shown_ns - high_ns), max(0, shown_ns - low_ns)), ""


def _order(states: Offset) -> str:
    """When the guest arrived by the dates of both hosts, and when it should have."""
    if states.high_ns < 0:
        return f"by its clock, the destination had the guest {_words(-states.high_ns)} before the source stopped it"
    since_end_ns = states.high_ns if states.low_ns is None else states.low_ns
    begun = "stopped it" if states.low_ns is None else "had completed"
    return f"by its clock, the destination had the guest {_words(since_end_ns)} after the source {begun}"


def _words(ns: int) -> str:
    return f"{ns / 1e9:,.3f} s"
