"""The reader of levels stock and usdt: events of the kernel in, events of the model out. Pure.

Columns that these levels cannot count are None.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fakedirty.model.enums import Kind, Level
from fakedirty.model.events import Event, MigrationStarted, RoundEnded, StateChanged
from fakedirty.model.migration import ENDED
from fakedirty.model.round import CLASSES, Round
from fakedirty.model.sampling import estimate_columns

from . import blind_spots, wire
from .interfaces import SetUp

PAGE_BITS = 12  # the page size of x86-64 targets; probes count buffers of other sizes as odd
_END_SECONDS = 0.5  # between the last page and the last state

_LATE = "the observer came in the middle of this round"


class StockReader:
    """Makes events of the model of events of the kernel.

    Args:
        state_names: names of MigrationStatus by their numbers; empty if states come by their names.
        level: stock or usdt.
        sees_xbzrle: the executable has the function that shows pages of XBZRLE.
        can_skip: this QEMU has the mode skip.
        sample: one page of so many is hashed.
    """

    def __init__(
        self,
        state_names: tuple[str, ...],
        level: Level = Level.STOCK,
        *,
        sees_xbzrle: bool,
        can_skip: bool,
        sample: int = 1,
    ) -> None:
        self._level = level
        self._states = state_names
        self._sees_xbzrle = sees_xbzrle
        self._can_skip = can_skip
        self._sample = sample
        self._running = False
        self._partial = False
        self._late = False
        self._start_ns = 0
        self._rounds = 0  # how many are over
        self._postcopy = False
        self._stopped: wire.StockEvent | None = None

    def take(self, event: wire.StockEvent) -> Iterator[Event | SetUp]:
        """The events of the model for one event of the kernel."""
        time_ns = int(event.header.time_ns)
        if event.header.kind == wire.EVENT_STOCK_STARTED:
            self._running, self._postcopy = True, False
            self._partial = self._late = bool(event.partial)
            self._start_ns, self._stopped = time_ns, None
            self._rounds = max(0, int(event.counts.round) - 1)
            yield MigrationStarted(time_ns, self._partial)
        elif not self._running:
            if event.header.kind == wire.EVENT_STOCK_STATE and self._name(event) == "setup":
                yield SetUp(time_ns)
        elif event.header.kind == wire.EVENT_STOCK_ROUND:
            yield self._round(event, self._kind(event))
        elif event.header.kind == wire.EVENT_STOCK_STOPPED:
            self._stopped = event
        else:
            yield from self._state(event, self._name(event))

    def _name(self, event: wire.StockEvent) -> str:
        known = event.state < len(self._states)
        return event.name.decode() or (self._states[event.state] if known else f"state-{event.state}")

    def overdue(self, now_ns: int) -> bool:
        """Whether no page was sent for so long that the probes must have missed the last state."""
        since = self._stopped.header.time_ns if self._stopped and self._running else None
        return since is not None and now_ns - since > _END_SECONDS * 1e9

    def end(self, state: str) -> Iterator[Event]:
        """End an overdue migration in a state that QEMU reports by QMP."""
        assert self._stopped is not None
        yield from self._state(self._stopped, state)
        self._running = False

    def _state(self, event: wire.StockEvent, state: str) -> Iterator[Event]:
        self._postcopy = self._postcopy or state.startswith("postcopy")
        if state in ENDED:
            self._running = False
            if event.counts.round:
                # only now it is known that this was the last round, and so the switchover
                yield self._round(event, Kind.SWITCHOVER if state == "completed" else self._kind(event), last=True)
        yield StateChanged(int(event.header.time_ns), state)

    def _kind(self, event: wire.StockEvent) -> Kind:
        return Kind.BULK if event.counts.round == 1 and not self._partial else Kind.ITERATIVE

    def _round(self, event: wire.StockEvent, kind: Kind, *, last: bool = False) -> RoundEnded:
        counts, time_ns = event.counts, int(event.end_ns or event.header.time_ns)
        # The bitmap sync of postcopy comes before or after its state. The round that it ends has no page of postcopy.
        postcopy = self._postcopy and last
        blind = self._blind(event, kind, postcopy=postcopy)
        incomplete = self._partial and counts.first_pages and not self._late
        missing = range(self._rounds + 1, counts.round) if event.end_ns else ()
        self._rounds = counts.round
        flaws = [
            _LATE if self._late else "",
            blind,
            f"{len(missing)} rounds before this one did not end in the channels of multifd" if missing else "",
            f"{counts.first_pages} pages may have been sent before the observer came" if incomplete else "",
        ]
        self._late = False
        visited = int(counts.normal_pages + counts.zero_pages)
        classes: dict[str, Any] = {column: int(getattr(counts, column)) for column in CLASSES}
        if blind:
            classes = dict.fromkeys(CLASSES)
        elif self._sample > 1:
            classes = estimate_columns(classes, visited)
        # level usdt counts a page before XBZRLE makes a delta of it or finds it unchanged
        deltas = bool(counts.bypassed >> blind_spots.XBZRLE & 1) or (
            self._level is Level.USDT and not self._sees_xbzrle
        )
        unsent = None if blind or deltas or not self._sees_xbzrle else 0
        ended = Round(
            round=counts.round,
            kind=kind,
            mode=None,
            hash=None,
            start_seconds=(counts.start_ns - self._start_ns) / 1e9,
            duration_seconds=(time_ns - counts.start_ns) / 1e9,
            visited_pages=None if blind else visited,
            **classes,
            zero_pages=None if blind else int(counts.zero_pages),
            normal_pages=None if blind or deltas else int(counts.normal_pages),
            xbzrle_pages=unsent,
            unchanged_pages=unsent,
            skipped_pages=None if blind or self._can_skip else 0,
            forced_syncs=counts.forced_syncs,
        )
        return RoundEnded(time_ns, ended, flaw="; ".join(flaw for flaw in flaws if flaw), postcopy=postcopy)

    def _blind(self, event: wire.StockEvent, kind: Kind, *, postcopy: bool) -> str:
        """Why this level has no counts of pages of a round; empty if it has them."""
        counts = event.counts
        why = [blind_spots.reasons(counts.bypassed, self._level)]
        if postcopy:
            why.append("postcopy sends pages from two threads")
        if event.queued_pages != event.channel_pages:
            why.append(
                f"{event.queued_pages} pages were queued for multifd, and {event.channel_pages} seen in its channels' "
                "packets (zero copy, a file, or another form of packets)"
            )
        if counts.odd_buffers:
            why.append(f"{counts.odd_buffers} buffers were not one page of {1 << PAGE_BITS} bytes")
        whole = kind is Kind.BULK and event.header.kind == wire.EVENT_STOCK_ROUND
        if whole and not any(why) and not counts.normal_pages + counts.zero_pages:
            why.append("no page of all RAM passed the probes (RDMA, or another way of sending)")
        return "; ".join(reason for reason in why if reason)
