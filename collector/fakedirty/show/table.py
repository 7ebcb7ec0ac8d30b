"""The sink that prints a migration while it runs: one line per round, when the round ends."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from fakedirty.format.downtime_words import downtime_words
from fakedirty.format.numbers import milliseconds, size
from fakedirty.model.events import Event, EventsLost, MigrationStarted, ModeChanged, RoundEnded
from fakedirty.model.migration import Migration
from fakedirty.model.round import Round
from fakedirty.model.sink import PageBatch
from fakedirty.model.totals import Outcome

from .columns import Column, fitting
from .terminal import harmless


class LiveTable:
    """Prints lines to `console`: pages in pages, `sent` and `saved` in bytes, `secs` in seconds.

    A line does not change after it was printed, so the table can go to a pipe or a log as well as to a screen.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._columns: tuple[Column, ...] = ()
        self._last: Migration | None = None

    @property
    def reader_gone(self) -> bool:
        """Whether nobody reads the table any more."""
        return self._console.quiet

    def started(self, migration: Migration) -> None:
        """Print the heading of the table."""
        self._columns = fitting(self._console.width)
        self._last = migration
        incoming = "incoming " if migration.incoming else ""
        self._line(
            Text(
                f"{harmless(migration.vm)}: {incoming}migration {migration.migration_id}, level {migration.level}",
                "bold",
            )
        )
        if migration.incoming:
            return
        self._line(heading(self._columns, underlined=self._console.is_terminal))

    def changed(self, migration: Migration, event: Event) -> None:
        """Print a line for an event, after the name of the VM if the line before belongs to another migration."""
        if isinstance(event, MigrationStarted | RoundEnded | ModeChanged | EventsLost):
            self._head(migration)
        match event:
            case MigrationStarted(partial=True):
                self._line(Text("!! it was already running: what came before is not seen", "bold red"))
            case RoundEnded():
                self._round(migration.rounds[-1])
            case ModeChanged():
                seconds = (event.time_ns - migration.start_ns) / 1e9
                modes = (str(event.from_mode), str(event.to_mode))
                self._line(Text(f"-- {toggle_words(*modes, event.hash, seconds, event.round)}", "magenta"))
            case EventsLost():
                self._line(Text(f"!! {event.count} events lost ({event.where})", "bold red"))

    def pages(self, migration: Migration, batch: PageBatch) -> None:
        """Print nothing: single pages do not fit a screen."""

    def ended(self, migration: Migration) -> None:
        """Print the outcome."""
        self._head(migration)
        self._line(outcome_line(migration))
        if (found := migration.blackout) is not None:
            self._line(Text(downtime_words(found)))

    def _head(self, migration: Migration) -> None:
        if self._last is not migration:
            namesake = self._last is not None and self._last.vm == migration.vm
            self._last = migration
            which = f", migration {migration.migration_id}" if namesake else ""
            self._line(Text(f"{harmless(migration.vm)}{which}:", "bold"))

    def _round(self, counts: Round) -> None:
        self._line(line(self._columns, counts))
        if not counts.valid:
            self._line(Text(f"    ! round {counts.round} is invalid: {counts.invalid_reason}", "bold red"))
        elif counts.remark:
            self._line(Text(f"    ~ round {counts.round}: {counts.remark}", "dim"))

    def _line(self, line: Text) -> None:
        self._console.print(line, soft_wrap=True, highlight=False)


def heading(columns: Sequence[Column], underlined: bool = True) -> Text:
    return Text(" ".join(_set(column, column.title) for column in columns).rstrip(), "underline" if underlined else "")


def line(columns: Sequence[Column], counts: Round) -> Text:
    """One round."""
    text = Text()
    for column in columns:
        text.append(_set(column, column.cell(counts)), column.style).append(" ")
    text.rstrip()
    return text


def toggle_words(from_mode: str, to_mode: str, hash_name: str | None, seconds: float, number: int) -> str:
    """A toggle with its time and round, as text.

    Args:
        from_mode: mode before.
        to_mode: mode after.
        hash_name: hash after; None if not known.
        seconds: from the start of the migration.
        number: of the round; 0 before the first.
    """
    where = f"in round {number}" if number else "before round 1"
    by_hash = f" ({hash_name})" if hash_name else ""
    return f"mode {from_mode} -> {to_mode}{by_hash} after {seconds:.2f} s, {where}"


def outcome_line(migration: Migration) -> Text:
    """One line: how the migration ended, its times and bytes, and whether its counts are valid."""
    if migration.incoming:
        return Text("the guest has arrived" + ("" if migration.resumed_ns is None else ", and runs"))
    parts = [
        migration.state if migration.ended else f"not observed to its end (last state: {migration.state})",
        f"total {milliseconds(migration.reported('total-time'))}",
        f"downtime {milliseconds(migration.reported('downtime'))}",
        f"sent {size(migration.reported('ram', 'transferred'))}",
        f"{len(migration.rounds)} rounds",
    ]
    return Text("; ".join(parts)) + Text("; ") + _validity(migration)


def _validity(migration: Migration) -> Text:
    if migration.valid:
        return Text("valid", "green")
    totals = migration.totals
    word, style = "invalid", "bold red"
    if migration.valid is None:
        word, style = "unchecked", "yellow"
    elif totals is not None and totals.outcome is Outcome.PARTIAL:
        word = "partial"
    return Text(harmless(f"{word}: {', '.join(migration.reasons)}"), style)


def _set(column: Column, text: str) -> str:
    return text.ljust(column.width) if column.left else text.rjust(column.width)
