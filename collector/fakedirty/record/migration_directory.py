"""The directory of one migration while it is written: each round is in a file as soon as it has ended."""

from __future__ import annotations

from pathlib import Path

from fakedirty.model.events import Event, ModeChanged, RoundEnded
from fakedirty.model.migration import Migration
from fakedirty.model.sink import PageBatch

from .columns import DOWNTIME, ROUNDS, TOGGLES, Column
from .directory_names import PARTIAL, safe_name
from .downtime_rows import downtime_rows
from .durable import DurableLines, sync_directory, write_json, write_lines
from .manifest import Clock, Manifest
from .pages import PageDataset
from .rows import Row, round_row, toggle_row
from .summary import summary


class MigrationDirectory:
    """``OUT/<vm>/<start>-<migration_id>.partial/`` until :meth:`finish`. Every method may raise OSError."""

    def __init__(self, out: Path, manifest: Manifest, migration: Migration, clock: Clock) -> None:
        self._run_id = manifest.run_id
        self._migration = migration
        self._clock = clock
        start = clock.date(migration.start_ns).strftime("%Y%m%dT%H%M%SZ")
        self.final = _vacant(out / safe_name(migration.vm) / f"{start}-{safe_name(migration.migration_id)}")
        self.directory = self.final.with_name(self.final.name + PARTIAL)
        self.directory.mkdir(parents=True)
        self._manifest = manifest
        self._write_manifest()
        self._rounds = DurableLines(self.directory / "rounds.csv", [column.name for column in ROUNDS])
        self._toggles = DurableLines(self.directory / "toggles.csv", [column.name for column in TOGGLES])
        self._pages = PageDataset(self.directory)

    def take(self, event: Event) -> None:
        """Write the round or toggle of an event that the migration has already applied."""
        match event:
            case RoundEnded():
                self._pages.flush()  # first: a round in rounds.csv has all its page records in files
                row = round_row(self._run_id, self._migration, self._migration.rounds[-1])
                self._rounds.append(_values(ROUNDS, row))
            case ModeChanged():
                self._toggles.append(_values(TOGGLES, toggle_row(self._run_id, self._migration, event)))

    def pages(self, batch: PageBatch) -> None:
        self._pages.append(batch)

    def finish(self) -> Path:
        """Write the summary, and rename the directory to its final name, which is returned."""
        self._pages.flush()
        self.close(sync=True)
        self._read_back()
        parts = [_values(DOWNTIME, row) for row in downtime_rows(self._run_id, self._migration)]
        write_lines(self.directory / "downtime.csv", [column.name for column in DOWNTIME], parts)
        self._write_manifest()  # QEMU's monitor may have answered in the meantime
        write_json(self.directory / "migration.json", summary(self._run_id, self._migration, self._clock))
        sync_directory(self.directory)
        self.directory.rename(self.final)
        sync_directory(self.final.parent)
        return self.final

    def _write_manifest(self) -> None:
        write_json(self.directory / "manifest.json", self._manifest.of(self._migration, self._clock))

    def _read_back(self) -> None:
        """Write the toggles again, with the modes that QEMU reported after them."""
        rows = [_values(TOGGLES, toggle_row(self._run_id, self._migration, each)) for each in self._migration.toggles]
        if rows:
            write_lines(self.directory / "toggles.csv", [column.name for column in TOGGLES], rows)

    def close(self, sync: bool = False) -> None:
        """Close the files; the directory keeps its name and its content."""
        self._rounds.close(sync)
        self._toggles.close(sync)


def _values(columns: tuple[Column, ...], row: Row) -> list[object]:
    return [row[column.name] for column in columns]


def _vacant(path: Path) -> Path:
    """`path`, or the first of `path`-2, `path`-3 … that does not exist, with or without the ending of a partial one."""
    candidate, number = path, 1
    while candidate.exists() or candidate.with_name(candidate.name + PARTIAL).exists():
        number += 1
        candidate = path.with_name(f"{path.name}-{number}")
    return candidate
