"""Rounds of a stock QEMU, told by ``dirty-sync-count`` between two answers of query-migrate.

What was sent is exact in sum and, per round, as exact as the polling is quick; a round that came and went
between two polls is said to have been missed. Pure: answers in, events of the model out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fakedirty.model.events import Event, MigrationStarted, RoundEnded, StateChanged
from fakedirty.model.migration import ENDED
from fakedirty.model.round import Round
from fakedirty.model.words import Kind

_GROWING = ("dirty-sync-count", "normal", "duplicate", "transferred")


class PollReader:
    """Pure: answers of a stock QEMU's query-migrate in, events of the model out."""

    def __init__(self) -> None:
        self._running = False
        self._state = ""
        self._start_ns = self._round_ns = 0
        self._ram: Mapping[str, Any] = {}
        self._first_look = True
        self._setup_ns: int | None = None
        self._postcopy = False  # it may have moved pages of the round
        self._last_end: Mapping[str, Any] = {}

    def take(self, time_ns: int, info: Mapping[str, Any]) -> Iterator[Event]:
        """What has happened since the last look."""
        state = str(info.get("status", "none"))
        ended = state in ENDED
        if not self._running:
            partial, self._first_look = self._first_look, False
            # without counters it is in its setup, failed there, or is an incoming one, which never has any
            if "ram" not in info or (ended and (partial or not self._is_another(info))):
                self._setup_ns = time_ns if state == "setup" else None
                self._last_end = info if ended else self._last_end
                return
            yield MigrationStarted(self._setup_ns or time_ns, partial)
            self._running, self._state, self._ram = True, "", info["ram"] if partial else {}
            self._start_ns, self._round_ns = self._setup_ns or time_ns, time_ns
            self._setup_ns = None
            self._postcopy = False
        self._postcopy = self._postcopy or state.startswith("postcopy")
        ram = info.get("ram", self._ram)
        if ended and state == "completed":
            yield from self._round(time_ns, ram, Kind.SWITCHOVER)
        elif _syncs(ram) > _syncs(self._ram) or ended:
            yield from self._round(time_ns, ram, Kind.ITERATIVE)
        if state != self._state:
            self._state = state
            yield StateChanged(time_ns, state)
        if ended:
            self._running, self._last_end = False, info

    def _is_another(self, info: Mapping[str, Any]) -> bool:
        """Whether an ended migration is not the one that was seen to end: counters begin anew, and only grow."""
        before, now = self._last_end.get("ram", {}), info.get("ram", {})
        again = any(now.get(name, 0) < before.get(name, 0) for name in _GROWING)
        return again or info.get("status") != self._last_end.get("status")

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
            postcopy=self._postcopy,
        )


def _syncs(ram: Mapping[str, Any]) -> int:
    return int(ram.get("dirty-sync-count", 0))


def _difference(before: Mapping[str, Any], ram: Mapping[str, Any], name: str) -> int | None:
    return int(ram[name]) - int(before.get(name, 0)) if name in ram else None
