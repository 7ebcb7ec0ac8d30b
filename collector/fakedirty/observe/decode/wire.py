"""``probes/events.h`` in Python: every struct that crosses from QEMU or the kernel to user space.

Names are the same on both sides. A test compiles the header and compares sizes and offsets.
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
DEVICE_BYTES = 128
ROUND_CLASSIFIED, ROUND_INEXACT = 1, 2
ROUND_VERSION = 1
ROUND_VERSION_OF_DRAFTS = 2  # the same fields, from drafts of the patch series

EVENT_ROUND, EVENT_MODE, EVENT_STATE, EVENT_BATCH = 1, 2, 3, 4
EVENT_STOCK_STARTED, EVENT_STOCK_ROUND, EVENT_STOCK_STATE, EVENT_STOCK_STOPPED = 5, 6, 7, 8
EVENT_RUNSTATE = 9
EVENT_MIGRATION_ROUND = 10
EVENT_CHECKPOINT, EVENT_DEVICE_SAVED, EVENT_DEVICE_LOADED = 11, 12, 13

# where events are lost, by LOST_* of events.h; the kernel counts all of them but LOST_LATE
LOST_PLACES = (
    "ring buffer of events full",
    "ring buffer of page records full",
    "memory of the process not readable",
    "table of sent pages full",
    "reader of page records late",
    "table of page batches full",
)
LOST_LATE = 4  # counted in user space

PLACES, PLACES_TRIED = 1 << 15, 4
_GENERATIONS = 1 << 16

# struct page_record; tag = page index << 16 | class << 8 | disposition
PAGE_RECORD = np.dtype([("hash", "<u8"), ("tag", "<u8")])

Field = tuple[str, type]


def _counters(*names: str) -> list[Field]:
    return [(name, ctypes.c_uint64) for name in names]


class MigrationRoundRecord(ctypes.Structure):
    """``struct migration_round_record``: one round as QEMU counted it, with the fields that are known here."""

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
    """``struct round_record``: the same from a patch series whose records had no version."""

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
    """``struct event_header``: the beginning of every event."""

    _fields_: ClassVar[list[Field]] = [
        ("time_ns", ctypes.c_uint64),
        ("kind", ctypes.c_uint16),
        ("slot", ctypes.c_uint16),
        ("tid", ctypes.c_uint32),
    ]


class ProcessHead(ctypes.Structure):
    """``struct process_head``: the beginning of the kernel's state of an observed process."""

    _fields_: ClassVar[list[Field]] = [
        ("lost", ctypes.c_uint64 * len(LOST_PLACES)),
        ("slot", ctypes.c_uint16),
        ("reserved", ctypes.c_uint16),
        ("tgid", ctypes.c_uint32),
    ]


class Place(ctypes.Structure):
    """``struct place``: the slot of a process."""

    _fields_: ClassVar[list[Field]] = [("tgid", ctypes.c_uint32), ("slot", ctypes.c_uint32)]


class ChunkKey(ctypes.Structure):
    """``struct chunk_key``: the key of a chunk of pages, by process, migration and place."""

    _fields_: ClassVar[list[Field]] = [
        ("slot", ctypes.c_uint16),
        ("generation", ctypes.c_uint16),
        ("chunk", ctypes.c_uint32),
    ]

    def is_before(self, generation: int) -> bool:
        """Whether the migration of this key is before a generation. A key has only the lower bits of its generation."""
        own: int = self.generation
        return 0 < (generation - own) % _GENERATIONS < _GENERATIONS // 2


class PageCounts(ctypes.Structure):
    """``struct page_counts``: the kernel's own counts of a round, by columns of ``rounds.csv``."""

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
        ("counted", PageCounts),
    ]


class MigrationRoundEvent(ctypes.Structure):
    """``struct migration_round_event``."""

    _fields_: ClassVar[list[Field]] = [
        ("header", EventHeader),
        ("record", MigrationRoundRecord),
        ("counted", PageCounts),
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


class SwitchoverEvent(ctypes.Structure):
    """``struct switchover_event``."""

    _fields_: ClassVar[list[Field]] = [
        ("header", EventHeader),
        ("pid", ctypes.c_uint32),
        ("instance", ctypes.c_uint32),
        ("duration_us", ctypes.c_uint64),
        ("stage", ctypes.c_char * WORD_BYTES),
        ("name", ctypes.c_char * DEVICE_BYTES),
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
    """``PLACE_OF``: the places at which the slot of a process may be, in the order in which programs read them."""
    first = (tgid * 0x9E3779B9 & 0xFFFFFFFF) >> 17
    return [(first + attempt) % PLACES for attempt in range(PLACES_TRIED)]


def pack_losses(counters: Sequence[int]) -> bytes:
    """The data of a trace record of lost events; `counters` are in the order of LOST_PLACES."""
    return struct.pack(f"<{len(counters)}Q", *counters)


def unpack_losses(data: bytes | memoryview) -> list[int]:
    """The counters of :func:`pack_losses`. Counters that an older trace does not have are 0."""
    counters = struct.unpack(f"<{len(data) // 8}Q", data)
    return [*counters, *[0] * (len(LOST_PLACES) - len(counters))]


def decode(raw: bytes | memoryview) -> Wire:
    """Decode one event of a ring buffer. The page records of a batch are ``raw[ctypes.sizeof(BatchEvent):]``.

    Raises:
        KeyError: the kind of the event is unknown.
        ValueError: the event is shorter than its struct.
    """
    struct_of = STRUCTS[EventHeader.from_buffer_copy(raw).kind]
    if struct_of is StockEvent and len(raw) == StockEvent.queued_pages.offset:  # an older trace
        raw = bytes(raw).ljust(ctypes.sizeof(StockEvent), b"\0")
    return struct_of.from_buffer_copy(raw)
