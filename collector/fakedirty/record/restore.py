"""Restores a migration of the model from its recording, so that it can be shown as when it ran."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from fakedirty.errors import RecordError
from fakedirty.model.enums import Kind, Level, Mode
from fakedirty.model.events import Closed, Event, MigrationStarted, ModeChanged, RoundEnded
from fakedirty.model.forecast import Estimate, Refutation
from fakedirty.model.migration import Migration
from fakedirty.model.round import Round
from fakedirty.model.sink import Sink
from fakedirty.model.totals import Outcome, Totals

from .downtime_rows import blackout_of
from .load import json_object, load, rows
from .manifest import Clock
from .summary import COUNTED


def restore(directory: Path, sinks: Sequence[Sink] = ()) -> Migration:
    """Restore the migration in a directory as it was at its end, or as far as its recording goes.

    Args:
        directory: of one migration.
        sinks: they receive its rounds and toggles, in order.

    Raises:
        RecordError: the recording cannot be read.
    """
    recording, manifest = load(directory), manifest_of(directory)
    try:
        summary = json_object(directory / "migration.json") if (directory / "migration.json").exists() else {}
        migration = Migration(
            vm=str(manifest["vm"]),
            level=Level(Level.parse(manifest["level"])),
            migration_id=str(manifest["migration_id"]),
            start_ns=int(manifest["clock"]["start_ns"]),
            partial=bool(summary.get("joined_late", summary.get("partial", False))),
            incoming=manifest.get("side") == "destination",
            process=str(manifest.get("process", "")),
            uuid=str(manifest.get("uuid", "")),
        )
        started = MigrationStarted(migration.start_ns, migration.partial, migration.incoming)
        events = [*_events(recording.rounds, recording.toggles, migration.start_ns)]
        for sink in sinks:
            sink.started(migration)
        for event in [started, *sorted(events, key=lambda event: event.time_ns)]:
            if isinstance(event, RoundEnded):  # it was checked when it was recorded
                migration.rounds.append(event.round)
            else:
                migration.apply(event)
            for sink in sinks:
                sink.changed(migration, event)
        _end(migration, manifest, summary)
        migration.recorded_blackout = blackout_of(
            rows(recording.downtime), summary.get("outside_downtime_ms") is not None
        )
        for sink in sinks:
            sink.ended(migration)
    except (ArithmeticError, KeyError, TypeError, ValueError) as error:
        raise RecordError(f"{directory} is not what fakedirty recorded: {error!r}") from error
    return migration


def manifest_of(directory: Path) -> dict[str, Any]:
    """The manifest in the directory of a migration."""
    return json_object(directory / "manifest.json")


def clock_of(manifest: Mapping[str, Any]) -> Clock:
    """The clock by which the migration was dated."""
    start_ns = int(manifest["clock"]["start_ns"])
    return Clock(start_ns + int(manifest["clock"]["wall_minus_monotonic_ns"]), start_ns)


def _end(migration: Migration, manifest: Mapping[str, Any], summary: Mapping[str, Any]) -> None:
    migration.state = str(summary.get("state", "active"))
    if migration.ended:
        migration.end_ns = migration.start_ns + round(summary["duration_seconds"] * 1e9)
    migration.lost_events.update(summary.get("lost_where", {}))
    migration.report = summary.get("query_migrate", {})
    migration.downtime_limit_ms = summary.get("downtime_limit_ms")
    migration.channels, migration.compressed = summary.get("channels"), summary.get("compressed")
    migration.remaining_bytes = summary.get("remaining_bytes")
    migration.return_path = summary.get("return_path")
    found: Mapping[str, Any] = summary.get("verdict") or {}  # older recordings have fewer members, or no forecast
    migration.switchover_rate = found.get("switchover_rate")
    if refuted := found.get("refuted"):
        total = refuted["total_seconds"]
        end = None if total is None else Estimate(**total)
        migration.restore_refutation(Refutation(refuted["after_round"], end))
    if (seconds := summary.get("postcopy_seconds")) is not None:
        migration.postcopy_ns = migration.start_ns + round(seconds * 1e9)
    migration.awaits_round = bool(summary.get("lacks_round", False))
    if summary.get("totals") is not None:
        counted = {name: summary.get(name) for name in COUNTED}
        outcome = Outcome(Outcome.parse(summary["totals"]))
        migration.totals = Totals(outcome, str(summary.get("totals_reason") or ""), **counted)
    else:  # an old recording without that check, or one that was cut off
        migration.apply(Closed(migration.end_ns or migration.start_ns))
    clock = clock_of(manifest)
    migration.stopped_ns, migration.resumed_ns = (
        _moment(clock, summary.get(name)) for name in ("stopped_at", "resumed_at")
    )
    if migration.end_ns is not None:
        migration.tick(migration.end_ns)  # its progress is that of its end


def _events(rounds: pd.DataFrame, toggles: pd.DataFrame, start_ns: int) -> Iterator[Event]:
    for row in rows(toggles):
        words = [Mode(Mode.parse(row[name])) for name in ("from_mode", "to_mode")]
        time_ns = start_ns + round(row["seconds"] * 1e9)
        yield ModeChanged(time_ns, row["round"], words[0], words[1], row["hash"])
    for row in rows(rounds):
        ended = round_of(row)
        yield RoundEnded(start_ns + round((ended.start_seconds + ended.duration_seconds) * 1e9), ended)


def round_of(row: Mapping[str, Any]) -> Round:
    """The round in a row of rounds.csv, or in a line of JSON."""
    return Round(
        **{name: row[name] for name in Round.__dataclass_fields__ if name not in ("kind", "mode", "remark")},
        remark=row.get("remark") or "",  # older recordings have none
        kind=Kind(Kind.parse(row["kind"])),
        mode=None if row["mode"] is None else Mode(Mode.parse(row["mode"])),
    )


def _moment(clock: Clock, date: str | None) -> int | None:
    """The time on the monotonic clock of a date."""
    if date is None:
        return None
    passed = datetime.fromisoformat(date) - clock.date(clock.monotonic_ns)
    return clock.monotonic_ns + round(passed.total_seconds() * 1e9)
