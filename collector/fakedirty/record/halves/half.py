"""One half of a migration: what the recording of its source or of its destination has for the other one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from fakedirty.errors import RecordError
from fakedirty.record.load import json_object

SOURCE, DESTINATION = "source", "destination"
COMPLETED, UNFINISHED = "completed", "unfinished"

#: what a manifest or a summary raises that is none, or has numbers that are no times
NOT_RECORDED = (ArithmeticError, AttributeError, KeyError, TypeError, ValueError)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DRIFT = 500e-6  # by which the kernel lets the greatest error of a clock grow, in seconds each second


@dataclass(frozen=True, slots=True)
class HalfClock:
    """The wall clock that a half is dated by.

    Attributes:
        max_error_ns: how far it may have been off at the start; None where nothing bounds that.
        boot_id: of its host; empty where it is not known.
        wall_minus_monotonic_ns: the difference of both clocks of the host at the start.
    """

    max_error_ns: int | None
    boot_id: str
    wall_minus_monotonic_ns: int


@dataclass(frozen=True, slots=True)
class Half:
    """A recording, as far as it matters for the other half. Times are in ns of Unix time, by its own host's clock.

    Attributes:
        directory: of the recording.
        side: ``source`` or ``destination``.
        vm: name of the VM on that host.
        uuid: of the guest; empty if it has none.
        host: name of the host; empty where it is not known.
        migration_id: of the recording.
        outcome: the last state if it is an end, or ``unfinished``.
        started_ns: start of the migration; on the destination, arrival of the guest.
        ended_ns: end of the migration; None where it was not seen.
        stopped_ns: when the source stopped the guest; None where it was not seen.
        resumed_ns: when the destination ran the guest; None where it was not seen.
        sent_bytes: ``ram.transferred`` of the last query-migrate; None where QEMU does not report it.
        return_path: whether the source completed after the guest had arrived; None where it is not known.
        clock: the clock of all times.
        summary: all of ``migration.json``; empty where the recording was cut off.
    """

    directory: Path
    side: str
    vm: str
    uuid: str
    host: str
    migration_id: str
    outcome: str
    started_ns: int
    ended_ns: int | None
    stopped_ns: int | None
    resumed_ns: int | None
    sent_bytes: int | None
    return_path: bool | None
    clock: HalfClock
    summary: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The VM and the id of the migration, for people."""
        at = f" on {self.host}" if self.host else ""
        return f"{self.vm} {self.migration_id}{at}"

    def error_ns(self, at_ns: int) -> int | None:
        """How far the clock may have been off at a time; None where nothing bounds it."""
        if self.clock.max_error_ns is None:
            return None
        return self.clock.max_error_ns + round(_DRIFT * abs(at_ns - self.started_ns))


def recordings_in(paths: Iterable[Path]) -> list[Path]:
    """The directories of all recordings at or below some paths, each once, in order.

    Raises:
        RecordError: a path has none.
    """
    found: dict[Path, Path] = {}
    for path in paths:
        directories = sorted(file.parent for file in path.rglob("manifest.json"))
        if not directories:
            raise RecordError(f"no migration was recorded in {path}: no manifest.json there or below")
        for directory in directories:
            found.setdefault(directory.resolve(), directory)
    return list(found.values())


def read_half(directory: Path) -> Half:
    """The half in the directory of a recording.

    Raises:
        RecordError: it cannot be read.
    """
    manifest = json_object(directory / "manifest.json")
    summary = json_object(directory / "migration.json") if (directory / "migration.json").exists() else {}
    try:
        return half_of(directory, manifest, summary)
    except NOT_RECORDED as error:
        raise RecordError(f"{directory} is not what fakedirty recorded: {error!r}") from error


def half_of(directory: Path, manifest: Mapping[str, Any], summary: Mapping[str, Any]) -> Half:
    """The half of a manifest and of a summary, which is empty where the recording was cut off.

    Raises:
        NOT_RECORDED: they are not of a recording.
    """
    started_ns = _unix_ns(manifest["started_at"])
    seconds = summary.get("duration_seconds")
    sent = summary.get("transferred_bytes")
    return Half(
        directory,
        side=str(manifest.get("side") or SOURCE),  # the oldest recordings are of sources
        vm=str(manifest["vm"]),
        uuid=str(manifest.get("uuid") or ""),
        host=str(manifest.get("host") or ""),
        migration_id=str(manifest["migration_id"]),
        outcome=str(summary.get("outcome", UNFINISHED)),
        started_ns=started_ns,
        ended_ns=None if seconds is None else _after(started_ns, seconds),
        stopped_ns=_moment(summary.get("stopped_at")),
        resumed_ns=_moment(summary.get("resumed_at")),
        sent_bytes=sent if isinstance(sent, int) and sent > 0 else None,
        return_path=summary.get("return_path"),
        clock=_clock(manifest["clock"]),
        summary=summary,
    )


def _clock(clock: Mapping[str, Any]) -> HalfClock:
    error = clock.get("error") or {}  # older recordings have none
    # a daemon that estimates no error bounds none either: systemd-timesyncd sets both to 0
    known = error.get("synchronised") is True and int(error["estimated_error_us"]) > 0
    return HalfClock(
        max_error_ns=int(error["max_error_us"]) * 1_000 if known else None,
        boot_id=str(clock.get("boot_id") or ""),
        wall_minus_monotonic_ns=int(clock["wall_minus_monotonic_ns"]),
    )


def _after(start_ns: int, seconds: float) -> int:
    """So many seconds later, which has to be a date; OverflowError if it is none."""
    _EPOCH + timedelta(microseconds=start_ns // 1_000, seconds=seconds)
    return start_ns + round(seconds * 1e9)


def _moment(date: str | None) -> int | None:
    return None if date is None else _unix_ns(date)


def _unix_ns(date: str) -> int:
    return (datetime.fromisoformat(date) - _EPOCH) // timedelta(microseconds=1) * 1_000
