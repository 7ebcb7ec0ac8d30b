"""The level `qmp`: rounds by asking QEMU, without root.

A patched QEMU keeps the history of its rounds, so that polling misses nothing that the history holds. On a
stock QEMU rounds are told by ``dirty-sync-count`` between two polls: what was sent is then exact in
sum and, per round, as exact as the polling is quick; a round that came and went between two polls
is said to have been missed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from fakedirty.errors import QmpError, TargetError
from fakedirty.model.events import Event, MigrationStarted, ModeChanged, RoundEnded, StateChanged
from fakedirty.model.migration import ENDED
from fakedirty.model.round import Round
from fakedirty.model.words import Kind, Mode
from fakedirty.qmp.client import Qmp

from .source import Observed

POLL_SECONDS = 0.1
_IDLE = frozenset({"none", "setup-wait"})

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


class PollReader:
    """Pure: answers of a stock QEMU's query-migrate in, events of the model out."""

    def __init__(self) -> None:
        self._running = False
        self._state = ""
        self._start_ns = self._round_ns = 0
        self._ram: Mapping[str, Any] = {}
        self._first_look = True
        self._last_end: Mapping[str, Any] = {}

    def take(self, time_ns: int, info: Mapping[str, Any]) -> Iterator[Event]:
        """What has happened since the last look."""
        state = str(info.get("status", "none"))
        ended = state in ENDED
        if not self._running:
            fresh = not ended or (info.get("ram") != self._last_end and not self._first_look)
            if state in _IDLE or not fresh:
                self._first_look = False
                if ended:
                    self._last_end = info.get("ram", {})
                return
            partial = self._first_look and state != "setup"
            yield MigrationStarted(time_ns, partial)
            self._running, self._state, self._ram = True, "", info.get("ram", {}) if partial else {}
            self._start_ns = self._round_ns = time_ns
        self._first_look = False
        ram = info.get("ram", self._ram)
        if ended and state == "completed":
            yield from self._round(time_ns, ram, Kind.SWITCHOVER)
        elif _syncs(ram) > _syncs(self._ram) or ended:
            yield from self._round(time_ns, ram, Kind.ITERATIVE)
        if state != self._state:
            self._state = state
            yield StateChanged(time_ns, state)
        if ended:
            self._running, self._last_end = False, ram

    def _round(self, time_ns: int, ram: Mapping[str, Any], last: Kind) -> Iterator[Event]:
        before, self._ram = self._ram, ram
        start_ns, self._round_ns = self._round_ns, time_ns
        number, now = _syncs(before), _syncs(ram)
        if last is not Kind.SWITCHOVER and number == 0:
            self._round_ns = time_ns
            if now <= 1:  # the sync of the setup: round 1 begins
                self._ram = {**ram, "normal": 0, "duplicate": 0, "transferred": 0}
                return
        missed = now - number - (0 if last is Kind.SWITCHOVER else 1)
        flaw = f"{missed} bitmap syncs passed between two polls" if missed > 0 else ""
        kind = Kind.BULK if number <= 1 and last is Kind.ITERATIVE else last
        yield RoundEnded(
            time_ns,
            Round(
                round=max(number, 1),
                kind=kind,
                mode=None,
                hash=None,
                start_seconds=(start_ns - self._start_ns) / 1e9,
                duration_seconds=(time_ns - start_ns) / 1e9,
                zero_pages=_difference(before, ram, "duplicate"),
                normal_pages=_difference(before, ram, "normal"),
                transferred_bytes=_difference(before, ram, "transferred"),
            ),
            flaw=flaw,
        )


def _syncs(ram: Mapping[str, Any]) -> int:
    return int(ram.get("dirty-sync-count", 0))


def _difference(before: Mapping[str, Any], ram: Mapping[str, Any], name: str) -> int | None:
    return int(ram[name]) - int(before.get(name, 0)) if name in ram else None


class QmpSource:
    """Polls one QEMU, and connects anew when the connection is lost."""

    def __init__(self, path: Path | None, clock: Callable[[], int] = time.monotonic_ns) -> None:
        if path is None:
            raise TargetError("level qmp needs a QMP socket: name one with --qmp")
        self._path = path
        self._clock = clock
        self._qmp: Qmp | None = None
        self._patched = False
        self._history = HistoryReader()
        self._polled = PollReader()
        self.last_info: Mapping[str, Any] = {}

    def attach(self) -> None:
        """Connect; QmpError when the socket is absent or busy."""
        self._qmp = Qmp.connect(self._path)
        commands = {command["name"] for command in self._qmp.execute("query-commands")}
        self._patched = "query-fake-dirty-rounds" in commands

    def poll(self, timeout: float) -> list[Observed]:
        """One look. A lost connection is made anew at the next one; what passed meanwhile shows as missed."""
        time.sleep(min(timeout, POLL_SECONDS))
        try:
            if self._qmp is None:
                self.attach()
            assert self._qmp is not None
            self._qmp.drain_events()
            # the state first: rounds that ended before it are then in the history
            info = self.last_info = self._qmp.execute("query-migrate")
            if not self._patched:
                return list(self._polled.take(self._clock(), info))
            history = self._qmp.execute("query-fake-dirty-rounds")
            return list(self._history.take(self._clock(), info, history))
        except QmpError:
            self.close()
            return []

    def close(self) -> None:
        """Give the socket back."""
        if self._qmp is not None:
            self._qmp.close()
            self._qmp = None
