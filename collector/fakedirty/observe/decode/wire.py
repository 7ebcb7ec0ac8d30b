"""``probes/events.h`` in Python: every struct that crosses from QEMU or the kernel to user space.

A test compiles the header and holds sizes and offsets against these; the names are the same on both sides.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

BATCH_PAGES = 256
WORD_BYTES = 32
BLOCK_BYTES = 256
ROUND_CLASSIFIED, ROUND_INEXACT = 1, 2
ROUND_VERSION = 1
ROUND_VERSION_OF_DRAFTS = 2  # the same fields, of a series before it was given a first version

EVENT_ROUND, EVENT_MODE, EVENT_STATE, EVENT_BATCH = 1, 2, 3, 4
EVENT_STOCK_STARTED, EVENT_STOCK_ROUND, EVENT_STOCK_STATE, EVENT_STOCK_STOPPED = 5, 6, 7, 8
EVENT_RUNSTATE = 9
EVENT_MIGRATION_ROUND = 10

# where events are lost: as LOST_* of events.h; the kernel counts in all of them but one
LOST_PLACES = (
    "ring buffer of events full",
    "ring buffer of page records full",
    "memory of the process not readable",
    "table of sent pages full",
    "reader of page records late",
    "table of page batches full",
)
LOST_LATE = 4  # the one

PLACES, PLACES_TRIED = 1 << 15, 4
_GENERATIONS = 1 << 16

# struct page_record; tag = page index << 16 | class << 8 | disposition
PAGE_RECORD = np.dtype([("hash", "<u8"), ("tag", "<u8")])

Field = tuple[str, type]


def _counters(*names: str) -> list[Field]:
    return [(name, ctypes.c_uint64) for name in names]


class MigrationRoundRecord(ctypes.Structure):
    """``struct migration_round_record``: one round as QEMU counted it, as far as it is known here."""

    _fields_: ClassVar[list[Field]] = [
        ("version", ctypes.c_uint32),
        ("size", ctypes.c_uint32),
        *_counters("migration_start_ns", "start_ns", "end_ns"),
        *_counters("dirty_pages", "forced_pages", "visited_pages"),
        *_counters("normal_pages", "zero_pages", "xbzrle_pages", "unchanged_pages"),
        *_counters("left_pages", "hinted_pages", "transferred_bytes"),
        ("forced_syncs", ctypes.c_uint32),
        ("round", ctypes.c_uint32),
        ("kind", ctypes.c_uint8),
        ("flags", ctypes.c_uint8),
        ("reserved", ctypes.c_uint8 * 6),
        *_counters("first_pages", "changed_pages", "fake_pages", "hash_ns"),
        ("mode", ctypes.c_uint8),
        ("hash", ctypes.c_uint8),
        ("reserved_mode", ctypes.c_uint8 * 6),
        *_counters("skipped_pages", "saved_bytes"),
    ]


class RoundRecord(ctypes.Structure):
    """``struct round_record``: the same of a series whose records had no version."""

    _fields_: ClassVar[list[Field]] = [
        *_counters("migration_start_ns", "start_ns", "end_ns"),
        *_counters("dirty_pages", "forced_pages", "visited_pages"),
        *_counters("first_pages", "changed_pages", "fake_pages"),
        *_counters("normal_pages", "zero_pages", "xbzrle_pages", "unchanged_pages", "skipped_pages"),
        *_counters("left_pages", "hinted_pages", "transferred_bytes", "saved_bytes", "hash_ns"),
        ("forced_syncs", ctypes.c_uint32),
        ("round", ctypes.c_uint32),
        ("kind", ctypes.c_uint8),
        ("mode", ctypes.c_uint8),
        ("hash", ctypes.c_uint8),
        ("flags", ctypes.c_uint8),
        ("reserved", ctypes.c_uint32),
    ]


class EventHeader(ctypes.Structure):
    """``struct event_header``: how every event opens."""

    _fields_: ClassVar[list[Field]] = [
        ("time_ns", ctypes.c_uint64),
        ("kind", ctypes.c_uint16),
        ("slot", ctypes.c_uint16),
        ("tid", ctypes.c_uint32),
    ]


class ProcessHead(ctypes.Structure):
    """``struct process_head``: how the kernel's state of an observed process opens."""

    _fields_: ClassVar[list[Field]] = [
        ("lost", ctypes.c_uint64 * len(LOST_PLACES)),
        ("slot", ctypes.c_uint16),
        ("reserved", ctypes.c_uint16),
        ("tgid", ctypes.c_uint32),
    ]


class Place(ctypes.Structure):
    """``struct place``: which slot a process has."""

    _fields_: ClassVar[list[Field]] = [("tgid", ctypes.c_uint32), ("slot", ctypes.c_uint32)]


class ChunkKey(ctypes.Structure):
    """``struct chunk_key``: pages whose last content the kernel keeps, by process, migration and place."""

    _fields_: ClassVar[list[Field]] = [
        ("slot", ctypes.c_uint16),
        ("generation", ctypes.c_uint16),
        ("chunk", ctypes.c_uint32),
    ]

    def is_before(self, generation: int) -> bool:
        """Whether its migration is an earlier one of the process; a key has only the lower bits of its number."""
        own: int = self.generation
        return 0 < (generation - own) % _GENERATIONS < _GENERATIONS // 2


class SeenCounts(ctypes.Structure):
    """``struct seen_counts``: what the kernel counted of a round, by columns of ``rounds.csv``."""

    _fields_: ClassVar[list[Field]] = _counters(
        "visited_pages",
        *("first_pages", "changed_pages", "fake_pages"),
        *("normal_pages", "zero_pages", "xbzrle_pages", "unchanged_pages", "skipped_pages"),
    )


class RoundEvent(ctypes.Structure):
    """``struct round_event``."""

    _fields_: ClassVar[list[Field]] = [
        ("header", EventHeader),
        ("record", RoundRecord),
        ("seen", SeenCounts),
    ]


class MigrationRoundEvent(ctypes.Structure):
    """``struct migration_round_event``."""

    _fields_: ClassVar[list[Field]] = [
        ("header", EventHeader),
        ("record", MigrationRoundRecord),
        ("seen", SeenCounts),
        ("record_bytes", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32),
    ]


class ModeEvent(ctypes.Structure):
    """``struct mode_event``."""

    _fields_: ClassVar[list[Field]] = [
        ("header", EventHeader),
        ("round", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32),
        ("from_mode", ctypes.c_char * WORD_BYTES),
        ("to_mode", ctypes.c_char * WORD_BYTES),
        ("hash", ctypes.c_char * WORD_BYTES),
    ]


class StateEvent(ctypes.Structure):
    """``struct state_event``."""

    _fields_: ClassVar[list[Field]] = [
        ("header", EventHeader),
        ("state", ctypes.c_char * WORD_BYTES),
    ]


class BatchEvent(ctypes.Structure):
    """``struct batch_event`` up to its records, of which `count` follow."""

    _fields_: ClassVar[list[Field]] = [
        ("header", EventHeader),
        ("round", ctypes.c_uint32),
        ("count", ctypes.c_uint32),
        ("block", ctypes.c_char * BLOCK_BYTES),
    ]


class StockCounts(ctypes.Structure):
    """``struct stock_counts``: one round of a stock QEMU as the kernel counted it."""

    _fields_: ClassVar[list[Field]] = [
        *_counters("start_ns", "first_pages", "changed_pages", "fake_pages"),
        *_counters("normal_pages", "zero_pages", "odd_buffers"),
        ("round", ctypes.c_uint32),
        ("forced_syncs", ctypes.c_uint32),
        ("bypassed", ctypes.c_uint32),
        ("generation", ctypes.c_uint32),
    ]


class StockEvent(ctypes.Structure):
    """``struct stock_event``."""

    _fields_: ClassVar[list[Field]] = [
        ("header", EventHeader),
        ("counts", StockCounts),
        ("state", ctypes.c_uint32),
        ("partial", ctypes.c_uint32),
        ("name", ctypes.c_char * WORD_BYTES),
        *_counters("queued_pages", "channel_pages", "end_ns"),
    ]


class RunStateEvent(ctypes.Structure):
    """``struct runstate_event``."""

    _fields_: ClassVar[list[Field]] = [
        ("header", EventHeader),
        ("pid", ctypes.c_uint32),
        ("state", ctypes.c_uint32),
    ]


Wire = RoundEvent | MigrationRoundEvent | ModeEvent | StateEvent | BatchEvent | StockEvent

STRUCTS: dict[int, type[Wire]] = {
    EVENT_ROUND: RoundEvent,
    EVENT_MIGRATION_ROUND: MigrationRoundEvent,
    EVENT_MODE: ModeEvent,
    EVENT_STATE: StateEvent,
    EVENT_BATCH: BatchEvent,
    EVENT_STOCK_STARTED: StockEvent,
    EVENT_STOCK_ROUND: StockEvent,
    EVENT_STOCK_STATE: StockEvent,
    EVENT_STOCK_STOPPED: StockEvent,
}


def places_of(tgid: int) -> list[int]:
    """``PLACE_OF``: where the slot of a process may be written down, in the order in which programs look."""
    first = (tgid * 0x9E3779B9 & 0xFFFFFFFF) >> 17
    return [(first + attempt) % PLACES for attempt in range(PLACES_TRIED)]


def pack_losses(counters: Sequence[int]) -> bytes:
    """Counters of lost events by place, as a record of a trace."""
    return struct.pack(f"<{len(counters)}Q", *counters)


def unpack_losses(data: bytes | memoryview) -> list[int]:
    """The same back; places that an older trace does not know have lost nothing."""
    counters = struct.unpack(f"<{len(data) // 8}Q", data)
    return [*counters, *[0] * (len(LOST_PLACES) - len(counters))]


def decode(raw: bytes | memoryview) -> Wire:
    """One event of the ring buffer; the records of a batch are ``raw[ctypes.sizeof(BatchEvent):]``."""
    struct_of = STRUCTS[EventHeader.from_buffer_copy(raw).kind]
    if struct_of is StockEvent and len(raw) == StockEvent.queued_pages.offset:  # of a trace that is older than that
        raw = bytes(raw).ljust(ctypes.sizeof(StockEvent), b"\0")
    return struct_of.from_buffer_copy(raw)
