"""The sink that logs what happens to migrations: their starts, toggles, lost events and ends, a line each."""

from __future__ import annotations

import logging

from fakedirty.model.events import Event, EventsLost, MigrationStarted, ModeChanged
from fakedirty.model.migration import Migration
from fakedirty.model.sink import PageBatch

_log = logging.getLogger(__name__)


class MigrationLog:
    """Serves all QEMUs, and any thread: it keeps nothing between two calls."""

    def started(self, migration: Migration) -> None:
        """Log that a migration has started; that of a destination begins when its guest arrives."""
        what = "incoming migration" if migration.incoming else "migration"
        _log.info("%s: %s %s started at level %s", _name(migration), what, migration.migration_id, migration.level)

    def changed(self, migration: Migration, event: Event) -> None:
        """Log a toggle, and the first loss of events; the line about the end has the sum of all losses."""
        match event:
            case MigrationStarted(partial=True):
                _log.info("%s: migration %s was running already", _name(migration), migration.migration_id)
            case ModeChanged():
                _log.info("%s: mode %s -> %s", _name(migration), event.from_mode, event.to_mode)
            case EventsLost() if sum(migration.lost_events.values()) == event.count:
                _log.warning("%s: %d events lost (%s)", _name(migration), event.count, event.where)

    def pages(self, migration: Migration, batch: PageBatch) -> None:
        """Ignore single pages."""

    def ended(self, migration: Migration) -> None:
        """Log how a migration ended, and whether what was observed is valid."""
        how = migration.state if migration.ended else f"is no longer observed, in the state {migration.state}"
        valid = "valid" if migration.valid else "not checked" if migration.valid is None else "not valid"
        why = f" ({', '.join(migration.reasons)})" if migration.reasons else ""
        rounds = len(migration.rounds)
        _log.info(
            "%s: migration %s %s, %d rounds, %s%s", _name(migration), migration.migration_id, how, rounds, valid, why
        )


def _name(migration: Migration) -> str:
    """The VM with its process id, which is the first word of the process."""
    return f"{migration.vm} (pid {migration.process.partition(' ')[0] or 'unknown'})"
