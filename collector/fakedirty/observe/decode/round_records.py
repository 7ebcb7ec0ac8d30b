"""QEMU's record of a round, in its present and its earlier form, as a round of the model. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fakedirty.model.enums import Kind, Mode
from fakedirty.model.round import CLASSES, DISPOSITIONS, MARKED, Round

from . import wire

# names of hashes by their codes in a record, which are the same in every build of QEMU
HASHES = ("xxh3-64", "xxh3-128", "sha1", "md5", "crc32", "murmur3-32", "murmur3-128", "blake3")

NOT_UNDERSTOOD = "record of a round not understood"  # beside LOST_PLACES, one more place where events are lost

_COUNTED = (*MARKED, "visited_pages", *DISPOSITIONS, "left_pages", "hinted_pages", "transferred_bytes", "saved_bytes")
_VERSIONS = (wire.ROUND_VERSION, wire.ROUND_VERSION_OF_DRAFTS)
_LEAST_BYTES = wire.MigrationRoundRecord.first_pages.offset  # of a QEMU that keeps a history and has no modes

RoundOnWire = wire.RoundEvent | wire.MigrationRoundEvent


@dataclass(frozen=True, slots=True)
class RecordedRound:
    """A round as QEMU recorded it.

    Attributes:
        migration_start_ns: identifies the migration (CLOCK_MONOTONIC).
        classified: the mode was on for the whole round.
        exact: the laws of rounds hold; None: the record does not have this.
    """

    migration_start_ns: int
    round: Round
    classified: bool
    exact: bool | None = None


def recorded(event: RoundOnWire) -> RecordedRound | None:
    """The round that an event carries, or None if its record has an unknown form."""
    if isinstance(event, wire.RoundEvent):
        return _unversioned(event.record)
    return _versioned(event.record, min(event.record_bytes, event.record.size))


def _versioned(record: wire.MigrationRoundRecord, known_bytes: int) -> RecordedRound | None:
    """The round of a record. This QEMU does not have the fields that end behind `known_bytes`."""
    if record.version not in _VERSIONS or known_bytes < _LEAST_BYTES or record.kind not in set(Kind):
        return None

    def known(name: str) -> int | None:
        field = getattr(wire.MigrationRoundRecord, name)
        return int(getattr(record, name)) if field.offset + field.size <= known_bytes else None

    classified = bool(record.flags & wire.ROUND_CLASSIFIED)
    columns = (*_COUNTED, *CLASSES) if classified else _COUNTED
    pages: dict[str, Any] = {column: known(column) for column in columns}
    mode, hash_ns = known("mode"), known("hash_ns")
    counted = Round(
        round=record.round,
        kind=Kind(record.kind),
        mode=Mode(mode) if mode in set(Mode) else None,
        hash=_hash(known("hash")) if mode else None,
        start_seconds=(record.start_ns - record.migration_start_ns) / 1e9,
        duration_seconds=(record.end_ns - record.start_ns) / 1e9,
        **pages,
        hash_seconds=None if hash_ns is None else hash_ns / 1e9,
        forced_syncs=record.forced_syncs,
    )
    exact = not record.flags & wire.ROUND_INEXACT
    return RecordedRound(int(record.migration_start_ns), counted, classified, exact)


def _unversioned(record: wire.RoundRecord) -> RecordedRound:
    classified = bool(record.flags & wire.ROUND_CLASSIFIED)
    mode = Mode(record.mode)
    pages: dict[str, Any] = {column: int(getattr(record, column)) for column in _COUNTED}
    if classified:
        pages |= {column: int(getattr(record, column)) for column in CLASSES}
    counted = Round(
        round=record.round,
        kind=Kind(record.kind),
        mode=mode,
        hash=_hash(record.hash) if classified or mode is not Mode.OFF else None,
        start_seconds=(record.start_ns - record.migration_start_ns) / 1e9,
        duration_seconds=(record.end_ns - record.start_ns) / 1e9,
        **pages,
        hash_seconds=record.hash_ns / 1e9,
        forced_syncs=record.forced_syncs,
    )
    return RecordedRound(int(record.migration_start_ns), counted, classified)


def _hash(code: int | None) -> str | None:
    """The name of a hash; None if it is not in the table, which may be older than QEMU."""
    return HASHES[code] if code is not None and code < len(HASHES) else None
