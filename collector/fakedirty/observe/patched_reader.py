"""The model's view of what a patched QEMU's trace events say. Pure: wire in, model out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fakedirty.model.events import Event, MigrationStarted, ModeChanged, RoundEnded, StateChanged
from fakedirty.model.migration import ENDED
from fakedirty.model.round import CLASSES, DISPOSITIONS, MARKED, Round
from fakedirty.model.words import Kind, Mode

from . import wire

# QEMU's FakeDirtyHash, in its order
HASHES = ("xxh3-64", "xxh3-128", "sha1", "md5", "crc32", "murmur3-32", "murmur3-128", "blake3")

_COUNTED = (*MARKED, "visited_pages", *DISPOSITIONS, "left_pages", "hinted_pages", "transferred_bytes", "saved_bytes")
_SEEN = ("visited_pages", *CLASSES, *DISPOSITIONS)


class PatchedReader:
    """Pure: events of the wire in, events of the model out.

    QEMU's state event names no side, and an incoming migration passes through the same states. Only an
    outgoing one has a thread of its own that sets `active`, and only it has rounds and modes.
    """

    def __init__(self, tgid: int) -> None:
        self._tgid = tgid
        self._setup_ns: int | None = None
        self._running = False
        self._incomplete = False  # the round now open began unseen

    def take(self, event: wire.Wire) -> Iterator[Event]:
        """The events of the model that one event of the wire stands for."""
        time_ns = event.header.time_ns
        match event:
            case wire.StateEvent():
                yield from self._state(event)
            case wire.ModeEvent():
                # adopted in the setup, where QEMU still has the number of the last round of the migration before
                number = 0 if not self._running and self._setup_ns is not None else event.round
                yield from self._start(time_ns)
                modes = [Mode(Mode.parse(word.decode())) for word in (event.from_mode, event.to_mode)]
                yield ModeChanged(time_ns, number, modes[0], modes[1], event.hash.decode())
            case wire.RoundEvent():
                yield from self._start(time_ns)
                yield self._round(event)

    def _state(self, event: wire.StateEvent) -> Iterator[Event]:
        time_ns, state = event.header.time_ns, event.state.decode()
        if not self._running:
            if state == "setup":
                self._setup_ns = time_ns
            elif state in ENDED:  # an incoming migration, or one that failed before it began
                self._setup_ns = None
            elif state == "active" and event.header.tid != self._tgid:
                yield from self._start(time_ns)
        if self._running:
            yield StateChanged(time_ns, state)
            if state in ENDED:
                self._running, self._setup_ns = False, None

    def _start(self, time_ns: int) -> Iterator[Event]:
        if self._running:
            return
        self._running = True
        self._incomplete = self._setup_ns is None
        yield MigrationStarted(self._setup_ns or time_ns, partial=self._incomplete)

    def _round(self, event: wire.RoundEvent) -> RoundEnded:
        flaw = "the observer came in the middle of this round" if self._incomplete else ""
        classified = bool(event.record.flags & wire.ROUND_CLASSIFIED)
        seen = {column: int(getattr(event.seen, column)) for column in _SEEN} if classified and not flaw else {}
        self._incomplete = False
        return RoundEnded(event.header.time_ns, round_of(event.record), seen, flaw)


def round_of(record: wire.RoundRecord) -> Round:
    """QEMU's record of a round, as a round of the model."""
    classified = bool(record.flags & wire.ROUND_CLASSIFIED)
    mode = Mode(record.mode)
    pages: dict[str, Any] = {column: int(getattr(record, column)) for column in _COUNTED}
    if classified:
        pages |= {column: int(getattr(record, column)) for column in CLASSES}
    return Round(
        round=record.round,
        kind=Kind(record.kind),
        mode=mode,
        hash=HASHES[record.hash] if classified or mode is not Mode.OFF else None,
        start_seconds=(record.start_ns - record.migration_start_ns) / 1e9,
        duration_seconds=(record.end_ns - record.start_ns) / 1e9,
        **pages,
        hash_seconds=record.hash_ns / 1e9,
        forced_syncs=record.forced_syncs,
    )
