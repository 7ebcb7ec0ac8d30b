"""The reader of level qmp for a stock QEMU: rounds, by ``dirty-sync-count`` in answers of query-migrate. Pure.

Sums of what was sent are exact. By round they are as exact as the looks at QEMU are close to each other. If no look
falls within some rounds, these are one row, whose `invalid_reason` names them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fakedirty.model.enums import Kind
from fakedirty.model.events import Event, MigrationStarted, RoundEnded, StateChanged
from fakedirty.model.migration import ENDED
from fakedirty.model.round import Round

from .interfaces import EndUnknown
from .outgoing import Outgoing, OutgoingState

_GROWING = ("dirty-sync-count", "normal", "duplicate", "transferred")
_TIMES = ("total-time", "setup-time", "downtime")
_THROTTLED = "CPU throttling was active: a bitmap sync that it forces within a round counts as the end of one here"
_ROUNDED_NS = 2_000_000  # a time of QEMU's is the difference of two times in whole milliseconds

Ram = Mapping[str, Any]


class PollReader:
    """Makes events of the model of answers of query-migrate.

    `may_receive` is False if QEMU was started without ``-incoming``: then all of its migrations are outgoing.
    """

    def __init__(self, may_receive: bool = True) -> None:
        self._outgoing = Outgoing(may_receive)
        self._running = False
        self._state = ""
        self._start_ns = self._row_ns = self._last_ns = 0
        self._row: Ram = {}  # counters at the start of the open row
        self._last: Ram = {}  # and at the last look
        self._elapsed_ms = 0
        self._setup_ms = 0
        self._started_by_ns: int | None = None  # the migration started at this time or before, by QEMU's times
        self._first_round = 1  # of the open row
        self._first_look = True
        self._setup_ns: int | None = None
        self._postcopy = False  # postcopy may have moved pages of the round
        self._throttled = False  # in the open row
        self._last_end: Mapping[str, Any] = {}  # the answer that showed the last end

    def take(
        self, time_ns: int, info: Mapping[str, Any], run_state: str | None = None, queried_ns: int | None = None
    ) -> Iterator[Event | EndUnknown]:
        """What has happened since the last look.

        Args:
            time_ns: the time of the answer (CLOCK_MONOTONIC).
            info: the answer of query-migrate.
            run_state: the answer of query-status, which was queried before.
            queried_ns: when the query was sent; None: not known.
        """
        state = self._outgoing.judge(info, run_state)
        first_look, self._first_look = self._first_look, False
        if state is OutgoingState.UNSETTLED:
            return
        none = state in (OutgoingState.NONE, OutgoingState.SNAPSHOT)
        if self._running and (none or self._is_replaced(info, queried_ns)):
            self._running = False
            yield from self._end_unseen(time_ns)
        if not self._running:
            if state is OutgoingState.UNDER_WAY:
                yield from self._begin(time_ns, info, first_look)
            elif state is OutgoingState.ENDED and not first_look and self._is_another(info):
                yield from self._begin(time_ns, info, False)
            else:
                self._rest(time_ns, info)
                return
        yield from self._go_on(time_ns, info, state is OutgoingState.ENDED)

    def skip_look(self, time_ns: int) -> Iterator[Event | EndUnknown]:
        """A look without query-migrate. A migration that runs is lost, and the next one counts as joined late."""
        self._first_look = True
        if self._running:
            self._running = False
            yield from self._end_unseen(time_ns)

    def ignore(self, info: Mapping[str, Any], run_state: str | None) -> None:
        """An answer about a migration that another reader reports."""
        self._first_look = False
        self._outgoing.judge(info, run_state)
        self._rest(0, info)

    def _rest(self, time_ns: int, info: Mapping[str, Any]) -> None:
        self._setup_ns = (time_ns or None) if info.get("status") == "setup" else None
        if info.get("status") in ENDED:  # of a migration or a snapshot: the next one must differ from it
            self._last_end = info

    def _begin(self, time_ns: int, info: Mapping[str, Any], partial: bool) -> Iterator[Event]:
        elapsed_ms = info.get("total-time")
        start_ns = self._setup_ns or time_ns
        if isinstance(elapsed_ms, int):  # QEMU counts it from the start on
            start_ns = max(self._last_ns, time_ns - elapsed_ms * 1_000_000)
        yield MigrationStarted(start_ns, partial)
        self._running, self._state, self._setup_ns, self._postcopy = True, "", None, False
        self._start_ns, self._row_ns = start_ns, time_ns if partial else start_ns
        self._row = self._last = info.get("ram", {}) if partial else {}
        self._first_round, self._elapsed_ms = max(_syncs(self._row), 1), 0
        self._setup_ms, self._started_by_ns = 0, None

    def _go_on(self, time_ns: int, info: Mapping[str, Any], ended: bool) -> Iterator[Event]:
        state = str(info["status"])
        self._postcopy = self._postcopy or state.startswith("postcopy")
        self._throttled = self._throttled or "cpu-throttle-percentage" in info
        ram: Ram = info.get("ram", self._last)
        if state == "completed":
            time_ns = self._end_of(info, time_ns)
            yield self._close(time_ns, ram, Kind.SWITCHOVER, max(_syncs(ram), self._first_round))
        elif ended:
            flaw = "" if "ram" in info else "what was sent after the last look is not counted: QEMU no longer says"
            yield self._close(time_ns, ram, Kind.ITERATIVE, max(_syncs(ram), self._first_round), flaw)
        elif (over := _syncs(ram) - 1) > self._first_round or (over == self._first_round and self._had_look()):
            yield self._close(time_ns, ram, Kind.ITERATIVE, over)
        self._last, self._last_ns = ram, time_ns
        self._elapsed_ms = int(info.get("total-time", 0))
        self._setup_ms = int(info.get("setup-time", 0)) or self._setup_ms
        if "total-time" in info:
            started_by_ns = time_ns - self._elapsed_ms * 1_000_000
            self._started_by_ns = min(started_by_ns, self._started_by_ns or started_by_ns)
        if state != self._state:
            self._state = state
            yield StateChanged(time_ns, state)
        if ended:
            self._running, self._last_end = False, info

    def _had_look(self) -> bool:
        """Whether a look fell within the round that has just ended, after the look with which the row begins."""
        return self._last is not self._row and _syncs(self._last) == self._first_round

    def _is_replaced(self, info: Mapping[str, Any], queried_ns: int | None) -> bool:
        """Whether the answer is about another migration than at the last look.

        QEMU counts from the start of each migration, so a counter that has fallen shows another one. If its counters
        are higher already, its start differs, and most often its time of setup.
        """
        now = info.get("ram", self._last)
        elapsed_ms = int(info.get("total-time", self._elapsed_ms))
        if _fell(self._last, now) or elapsed_ms < self._elapsed_ms:
            return True
        setup_ms = int(info.get("setup-time", 0))
        if self._setup_ms and setup_ms and setup_ms != self._setup_ms:
            return True
        if queried_ns is None or self._started_by_ns is None or info["status"] in ENDED or "total-time" not in info:
            return False
        return queried_ns - elapsed_ms * 1_000_000 - _ROUNDED_NS > self._started_by_ns

    def _is_another(self, info: Mapping[str, Any]) -> bool:
        """Whether a migration began and ended between two looks: the answer is not that of the last end.

        If it failed so soon, the answer does not show whether it was a migration or a snapshot.
        """
        if "ram" not in info or info["status"] == "failed":
            return False
        before = self._last_end
        other_times = any(info.get(name) != before.get(name) for name in _TIMES)
        return other_times or info["status"] != before.get("status") or _fell(before.get("ram", {}), info["ram"])

    def _end_of(self, info: Mapping[str, Any], time_ns: int) -> int:
        """The end of a completed migration by QEMU's total time, if that lies between the last look and this one."""
        if not isinstance(total_ms := info.get("total-time"), int):
            return time_ns
        return min(time_ns, max(self._last_ns, self._row_ns, self._start_ns + total_ms * 1_000_000))

    def _end_unseen(self, time_ns: int) -> Iterator[Event | EndUnknown]:
        """End a migration that ended between two looks, and of which QEMU reports nothing any more."""
        flaw = "the migration ended between two looks: what was sent after the last one is not counted"
        yield self._close(self._last_ns, self._last, Kind.ITERATIVE, max(_syncs(self._last), self._first_round), flaw)
        yield EndUnknown(time_ns)

    def _close(self, time_ns: int, ram: Ram, kind: Kind, over: int, flaw: str = "") -> RoundEnded:
        """Close the row, whose last round is `over`."""
        before, self._row = self._row, ram
        start_ns, self._row_ns = self._row_ns, time_ns
        throttled, self._throttled = self._throttled, False
        number, self._first_round = self._first_round, over + 1
        merged = f"rounds {number} to {over} cannot be told apart: no look at QEMU fell within each of them"
        ended = Round(
            round=number,
            kind=Kind.BULK if number == 1 and kind is Kind.ITERATIVE else kind,
            mode=None,
            hash=None,
            start_seconds=(start_ns - self._start_ns) / 1e9,
            duration_seconds=(time_ns - start_ns) / 1e9,
            zero_pages=_difference(before, ram, "duplicate"),
            normal_pages=_difference(before, ram, "normal"),
            transferred_bytes=_difference(before, ram, "transferred"),
            remark=_THROTTLED if throttled else "",
        )
        flaws = (merged if over > number else "", flaw)
        return RoundEnded(time_ns, ended, flaw="; ".join(filter(None, flaws)), postcopy=self._postcopy)


def _syncs(ram: Ram) -> int:
    return int(ram.get("dirty-sync-count", 0))


def _fell(before: Ram, now: Ram) -> bool:
    """Whether a counter is lower than it was before."""
    return any(now.get(name, 0) < before.get(name, 0) for name in _GROWING)


def _difference(before: Ram, ram: Ram, name: str) -> int | None:
    return int(ram[name]) - int(before.get(name, 0)) if name in ram else None
