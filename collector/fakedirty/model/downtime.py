"""Where the downtime went: the parts of the switchover, each moment of the blackout counted once.

The *blackout* is the time in which the guest runs nowhere. Its parts are what source and destination did meanwhile.
Some of them overlap: a destination loads what has arrived while its source still saves. So a part has two times: how
long it took, and how much of the blackout is counted for it. These rules decide on the latter:

1. Until the source has saved its last device, each moment counts for what the source does.
2. After that, each moment counts for what the destination does.
3. After that, and before the destination has all it needs, a moment in which it loads no device counts for the wire.

What no rule explains is the rest. Nothing is below zero, and the counted times and the rest add up to the blackout.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from .enums import StringEnum
from .switchover_log import SwitchoverLog

Interval = tuple[int, int]  # from, to: ns of CLOCK_MONOTONIC


class PartKind(StringEnum):
    """The kind of a part, in the order in which they begin."""

    STOP = 0  # the source stops vCPUs and devices, and flushes disks
    PREPARE = 1  # it hands over disks, and waits for whoever wants the switchover to wait
    SYNC = 2  # the last bitmap sync
    RAM = 3  # the source sends what is left of RAM
    SAVE = 4  # it saves a device
    STATES = 5  # between RAM and devices it reads the vCPUs' states, and prepares postcopy
    WIRE = 6  # on the way
    RECEIVE = 7  # the destination still receives RAM
    LOAD = 8  # it loads a device
    START = 9  # it activates disks and starts the guest
    HANDOVER = 10  # wire, receive, load and start, where they are not seen apart


SOURCE, DESTINATION = "source", "destination"
SIDES = {
    **dict.fromkeys((PartKind.STOP, PartKind.PREPARE, PartKind.SYNC, PartKind.RAM), SOURCE),
    **dict.fromkeys((PartKind.SAVE, PartKind.STATES), SOURCE),
    **dict.fromkeys((PartKind.RECEIVE, PartKind.LOAD, PartKind.START), DESTINATION),
}


@dataclass(frozen=True, slots=True)
class Part:
    """One part. Times are in ns.

    Attributes:
        kind: what was done.
        start_ns: when it began, from the stop of the guest; None if that was not seen on the same clock.
        duration_ns: how long it took.
        counted_ns: how much of the blackout is counted for it; None if the blackout was not measured.
        device: the device that was saved or loaded; empty for other parts.
        instance: distinguishes devices of one name; None for other parts.
    """

    kind: PartKind
    start_ns: int | None
    duration_ns: int
    counted_ns: int | None = None
    device: str = ""
    instance: int | None = None

    @property
    def side(self) -> str | None:
        """``source`` or ``destination``; None if it is neither."""
        return SIDES.get(self.kind)

    @property
    def weight_ns(self) -> int:
        """The time by which parts are compared: what is counted, or else its whole length."""
        return self.duration_ns if self.counted_ns is None else self.counted_ns


@dataclass(frozen=True, slots=True)
class Blackout:
    """The time in which a guest ran nowhere.

    Attributes:
        parts: in the order in which they began; never empty.
        duration_ns: how long it was; None if it was not measured.
        outside: it was measured from run state to run state on one clock; False: it is QEMU's downtime.
    """

    parts: tuple[Part, ...]
    duration_ns: int | None = None
    outside: bool = False

    @property
    def unexplained_ns(self) -> int | None:
        """The part of the blackout that no part explains; None if the blackout was not measured."""
        if self.duration_ns is None:
            return None
        return self.duration_ns - sum(part.counted_ns or 0 for part in self.parts)

    @property
    def counted(self) -> dict[PartKind, int]:
        """Counted ns by kind, over all devices; empty if the blackout was not measured."""
        sums: dict[PartKind, int] = {}
        for part in self.parts:
            if part.counted_ns is not None:
                sums[part.kind] = sums.get(part.kind, 0) + part.counted_ns
        return sums

    def slowest(self, most: int = 5) -> list[Part]:
        """The parts that took most, the slowest first."""
        ordered = sorted(self.parts, key=lambda part: -part.weight_ns)
        return [part for part in ordered if part.weight_ns > 0][:most]


def blackout(
    log: SwitchoverLog, stopped_ns: int | None, resumed_ns: int | None, reported_ns: int | None, ram_ns: int | None
) -> Blackout | None:
    """The parts of a blackout; None if no part was seen.

    Args:
        log: the steps that were seen.
        stopped_ns: when the source stopped the guest; None if that was not seen.
        resumed_ns: when the destination ran it; None if that was not seen.
        reported_ns: QEMU's own downtime; None if it was not read.
        ram_ns: from the last bitmap sync to the last page, by QEMU's report; None if QEMU has none. It is used where
            no step was seen.
    """
    outside = _interval(stopped_ns, resumed_ns)
    within = outside or log.downtime
    if not log:
        duration_ns = reported_ns if within is None else within[1] - within[0]
        return None if ram_ns is None else _by_report(ram_ns, duration_ns, outside is not None)
    begin = log.begin if within is None else within[0]
    spans = sorted(_spans(log, begin, within, resumed_ns), key=lambda span: (span.begin, span.kind))
    if not spans:
        return None
    if within is None:
        return Blackout(tuple(_part(span, begin) for span in spans))
    counted_ns = _counted(spans, within, log.saved_ns)
    parts = tuple(replace(_part(span, begin), counted_ns=ns) for span, ns in zip(spans, counted_ns, strict=True))
    return Blackout(parts, within[1] - within[0], outside is not None)


def _interval(begin: int | None, end: int | None) -> Interval | None:
    return None if begin is None or end is None or end < begin else (begin, end)


def _by_report(ram_ns: int, duration_ns: int | None, outside: bool) -> Blackout:
    counted = None if duration_ns is None else min(ram_ns, duration_ns)
    return Blackout((Part(PartKind.RAM, None, ram_ns, counted),), duration_ns, outside)


@dataclass(frozen=True, slots=True)
class _Span:
    """A part with its place on the clock."""

    kind: PartKind
    begin: int
    end: int
    device: str = ""
    instance: int | None = None


def _part(span: _Span, begin: int | None) -> Part:
    start_ns = None if begin is None else span.begin - begin
    return Part(span.kind, start_ns, span.end - span.begin, None, span.device, span.instance)


def _spans(log: SwitchoverLog, begin: int | None, within: Interval | None, resumed_ns: int | None) -> Iterator[_Span]:
    """All parts between `begin` and the end of the blackout, where these are known.

    Only a device may take no time: QEMU counts it in whole microseconds.
    """
    for span in (*_source(log, begin), *_between(log, within), *_destination(log, resumed_ns)):
        start = span.begin if begin is None else max(span.begin, begin)
        long_enough = span.end > start or (span.end == start and span.device)
        if long_enough and (within is None or start < within[1]):
            yield replace(span, begin=start)


def _source(log: SwitchoverLog, begin: int | None) -> Iterator[_Span]:
    first = min((step.time_ns - step.duration_ns for step in log.saved), default=None)
    stopped = log.at("src-vm-stopped", first)
    if begin is not None and stopped is not None:
        yield _Span(PartKind.STOP, begin, stopped)
    ends = [end for end in (first, log.at("src-iterable-saved")) if end is not None]  # before postcopy RAM is not saved
    if ends and stopped is not None:
        yield _Span(PartKind.PREPARE, stopped, min(ends))
    for step in log.saved:
        start, end = step.time_ns - step.duration_ns, step.time_ns
        if not (step.iterable and step.device == "ram"):
            yield _Span(PartKind.SAVE, start, end, step.device, step.instance)
            continue
        synced = log.at("bitmap-synced")
        if synced is not None and start <= synced <= end:
            yield _Span(PartKind.SYNC, start, synced)
            start = synced
        yield _Span(PartKind.RAM, start, end)
    iterable = [step.time_ns for step in log.saved if step.iterable]
    others = [step.time_ns - step.duration_ns for step in log.saved if not step.iterable]
    after = log.at("src-iterable-saved", max(iterable, default=None))
    if after is not None and others:
        yield _Span(PartKind.STATES, after, min(others))


def _between(log: SwitchoverLog, within: Interval | None) -> Iterator[_Span]:
    """The wire, if the destination was seen; else all that comes after the source has saved."""
    if log.saved_ns is None:
        return
    if log.loaded:
        yield _Span(PartKind.WIRE, log.saved_ns, log.received_ns or max(step.time_ns for step in log.loaded))
    elif within is not None:
        yield _Span(PartKind.HANDOVER, log.saved_ns, within[1])


def _destination(log: SwitchoverLog, resumed_ns: int | None) -> Iterator[_Span]:
    for step in log.loaded:
        start, end = step.time_ns - step.duration_ns, step.time_ns
        if step.iterable and step.device == "ram":
            yield _Span(PartKind.RECEIVE, start, end)
        else:
            yield _Span(PartKind.LOAD, start, end, step.device, step.instance)
    started = log.started_ns if resumed_ns is None else resumed_ns
    if log.loaded and log.received_ns is not None and started is not None:
        yield _Span(PartKind.START, log.received_ns, started)


def _counted(spans: Sequence[_Span], within: Interval, saved_ns: int | None) -> list[int]:
    """How much of the blackout is counted for each span, by the rules of this module."""
    counted = [0] * len(spans)
    edges = {within[0], within[1], *([saved_ns] if saved_ns is not None else [])}
    edges |= {edge for span in spans for edge in (span.begin, span.end)}
    inside = sorted(edge for edge in edges if within[0] <= edge <= within[1])
    for start, end in pairwise(inside):
        saving = saved_ns is not None and start < saved_ns
        covering = [n for n, span in enumerate(spans) if span.begin <= start and end <= span.end]
        eligible = [n for n in covering if not saving or SIDES.get(spans[n].kind) == SOURCE]
        if eligible:
            # the wire and the handover have the greatest ranks: whatever else is seen counts before them
            chosen = min(eligible, key=lambda n: (SIDES.get(spans[n].kind) is None, spans[n].begin, n))
            counted[chosen] += end - start
    return counted
