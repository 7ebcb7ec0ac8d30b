"""A patched QEMU's own history of its rounds, read by QMP. Pure: answers in, events of the model out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fakedirty.model.events import Event, MigrationStarted, ModeChanged, RoundEnded, StateChanged
from fakedirty.model.migration import ENDED
from fakedirty.model.round import Round
from fakedirty.model.words import Kind, Mode

# columns of a round by the names that query-fake-dirty-rounds gives them; optional ones may be absent
_PAGES = ("dirty", "forced", "visited", "normal", "zero", "xbzrle", "unchanged", "skipped", "left", "hinted")
_CLASSES = ("first", "changed", "fake")


class HistoryReader:
    """Pure: answers of a patched QEMU in, events of the model out."""

    def __init__(self) -> None:
        self._migration: int | None = None  # its migration-start
        self._running = False
        self._round = 0
        self._dropped = 0
        self._state = ""
        self._mode: Mode | None = None
        self._first_look = True

    def take(self, time_ns: int, info: Mapping[str, Any], history: Mapping[str, Any]) -> Iterator[Event]:
        """What has happened since the last look."""
        state = str(info.get("status", "none"))
        started = int(history.get("migration-start", 0)) or None
        if started is not None and started != self._migration:
            # one that had ended before we came is none of ours
            ours = not (self._first_look and state in ENDED)
            if ours:
                yield MigrationStarted(started, partial=False)
            self._migration, self._running, self._round = started, ours, 0
            self._dropped, self._state, self._mode = 0, "", None
        self._first_look = False
        if not self._running:
            return
        yield from self._toggle(time_ns, info)
        yield from self._rounds(time_ns, history)
        if state != self._state:
            self._state = state
            self._running = state not in ENDED
            yield StateChanged(time_ns, state)

    def _toggle(self, time_ns: int, info: Mapping[str, Any]) -> Iterator[Event]:
        totals = info.get("fake-dirty")
        if not totals:
            return
        mode = Mode(Mode.parse(totals["mode"]))
        before, self._mode = self._mode, mode
        if before not in (None, mode) or (before is None and mode is not Mode.OFF):
            yield ModeChanged(time_ns, self._round + 1, before or Mode.OFF, mode, str(totals["hash"]))

    def _rounds(self, time_ns: int, history: Mapping[str, Any]) -> Iterator[Event]:
        for entry in history.get("rounds", []):
            if entry["round"] <= self._round:
                continue
            missed = entry["round"] - self._round - 1
            self._round = entry["round"]
            flaw = f"{missed} rounds before this one had left QEMU's history" if missed else ""
            yield RoundEnded(int(entry["end"]), history_round(entry, int(history["migration-start"])), flaw=flaw)


def history_round(entry: Mapping[str, Any], migration_start_ns: int) -> Round:
    """One entry of query-fake-dirty-rounds as a round of the model."""
    mode = Mode(Mode.parse(entry["mode"]))
    classified = "fake" in entry
    counted = (*_PAGES, *_CLASSES) if classified else _PAGES
    pages: dict[str, Any] = {f"{name}_pages": int(entry[name]) for name in counted}
    return Round(
        round=entry["round"],
        kind=Kind(Kind.parse(entry["kind"])),
        mode=mode,
        hash=str(entry["hash"]) if classified or mode is not Mode.OFF else None,
        start_seconds=(entry["start"] - migration_start_ns) / 1e9,
        duration_seconds=(entry["end"] - entry["start"]) / 1e9,
        **pages,
        transferred_bytes=entry["transferred"],
        saved_bytes=entry["saved"],
        hash_seconds=entry["hash-time"] / 1e9,
        forced_syncs=entry["forced-syncs"],
    )
