"""The level `patched`: what the trace events of a QEMU with the series say."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fakedirty.model.events import Event, MigrationStarted, ModeChanged, RoundEnded, StateChanged
from fakedirty.model.migration import ENDED
from fakedirty.model.round import CLASSES, DISPOSITIONS, MARKED, Round
from fakedirty.model.sink import PageBatch
from fakedirty.model.words import Kind, Level, Mode

from . import headers, levels, usdt, wire
from .bpf import Bpf, now_ns
from .elf import Binary
from .losses import Losses
from .probes import probe_file
from .source import Observed
from .target import Target

HANDLED = ("fake_dirty_batch", "fake_dirty_round", "fake_dirty_mode", "migrate_set_state")

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
                yield from self._start(time_ns)
                modes = [Mode(Mode.parse(word.decode())) for word in (event.from_mode, event.to_mode)]
                yield ModeChanged(time_ns, event.round, modes[0], modes[1], event.hash.decode())
            case wire.RoundEvent():
                yield from self._start(time_ns)
                yield self._round(event)

    def batch(self, raw: bytes) -> PageBatch:
        """Page records, as they came from the ring buffer."""
        head = wire.BatchEvent.from_buffer_copy(raw)
        start = ctypes.sizeof(wire.BatchEvent)
        length = head.count * wire.PAGE_RECORD.itemsize
        return PageBatch(head.header.time_ns, head.block.decode(), head.round, raw[start : start + length])

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


class PatchedSource:
    """The probes of ``probes/patched.c`` on one QEMU."""

    def __init__(self, target: Target, *, pages: bool = False, probes: Path | None = None) -> None:
        self._target = target
        self._pages = pages
        self._file = probe_file("patched.c", probes)
        self._reader = PatchedReader(target.pid)
        self._losses = Losses()
        self._bpf: Bpf | None = None

    def attach(self) -> None:
        """Compile and attach, one program per USDT location."""
        binary = Binary(self._target.exe)
        levels.demand(self._target, Level.PATCHED, binary)
        located = usdt.programs(binary, HANDLED)
        defines = {"TGID": self._target.pid, "PAGES": int(self._pages)}
        self._bpf = Bpf(self._file, headers.find(), defines, usdt.text(located))
        self._bpf.open_rings(["events", "pages"] if self._pages else ["events"])
        usdt.attach(self._bpf, binary, located, self._target)
        binary.close()

    def poll(self, timeout: float) -> list[Observed]:
        """Losses first, so that the round they fall into carries them; then all else by time."""
        assert self._bpf is not None
        taken = self._bpf.poll(timeout)
        observed: list[Observed] = list(self._losses.since(self._bpf.counters("lost"), now_ns()))
        events = [wire.decode(raw) for raw in taken["events"]]
        batches = [self._reader.batch(raw) for raw in taken.get("pages", [])]
        for entry in sorted([*batches, *events], key=_time):
            if isinstance(entry, PageBatch):
                observed.append(entry)
            else:
                observed.extend(self._reader.take(entry))
        return observed

    def close(self) -> None:
        """Detach."""
        if self._bpf is not None:
            self._bpf.close()
            self._bpf = None


def _time(entry: PageBatch | wire.Wire) -> int:
    return entry.time_ns if isinstance(entry, PageBatch) else int(entry.header.time_ns)
