"""The reader of level qmp for a QEMU that keeps a history of its rounds: answers in, events of the model out. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fakedirty.model.enums import Kind, Mode
from fakedirty.model.events import Event, MigrationStarted, ModeChanged, RoundEnded, RoundsComplete, StateChanged
from fakedirty.model.migration import ENDED
from fakedirty.model.round import Round

from .interfaces import EndUnknown
from .outgoing import Outgoing, OutgoingState

# columns of a round, by their names in QEMU's history
_PAGES = ("dirty", "forced", "visited", "normal", "zero", "xbzrle", "unchanged", "left", "hinted")
_OPTIONAL = ("first", "changed", "fake", "skipped")  # not every part of the patch series has these
# time after an answer that shows an end; QEMU's main loop, which also answers, has ended the last round by then
_SETTLED_NS = 50_000_000


class HistoryReader:
    """Makes events of the model of QEMU's answers.

    QEMU sets `failed` before the last round of a migration is in the history. So the reader checks the history once
    more after that, as long as it is of the same migration.
    """

    def __init__(self) -> None:
        self._outgoing = Outgoing(may_receive=False)  # the history has outgoing migrations alone
        self._migration: int | None = None  # migration-start of the history
        self._next: int | None = None  # migration-start of a migration whose state is not known yet
        self._running = False
        self._ended_ns: int | None = None  # the end, if the last round may still come
        self._closed = False  # the last round is in the history
        self._round = 0
        self._state = ""
        self._mode: Mode | None = None
        self._last: Mapping[str, Any] | None = None  # the last answer of query-migrate

    def take(self, time_ns: int, info: Mapping[str, Any], history: Mapping[str, Any]) -> Iterator[Event | EndUnknown]:
        """What has happened since the last call.

        Args:
            time_ns: the time of the answers (CLOCK_MONOTONIC).
            info: the answer of query-migrate, which was queried before the history.
            history: QEMU's history of rounds.
        """
        outgoing = self._outgoing.judge(info, None)
        state = str(info.get("status", "none"))
        before, self._last = self._last, info
        started = int(history.get("migration-start", 0)) or None
        if started is not None and started != self._migration:
            if state in ENDED and info == before and started != self._next:
                # it began after `info` was read, which is of the migration before, or has ended just like that one
                self._next = started
                return
            # a migration that had ended before the first answer is not reported
            ours = not (before is None and state in ENDED)
            if ours:
                yield MigrationStarted(started, partial=False)
            self._migration, self._running, self._round = started, ours, 0
            self._state, self._mode = "", None
            self._ended_ns, self._closed = None, False
        if self._running and started is None:  # another migration is set up, and the answers are of that one
            self._running = False
            yield EndUnknown(time_ns)
        if self._ended_ns is not None and started is not None:
            yield from self._last_round(time_ns, history, self._ended_ns)
        if not self._running:
            return
        yield from self._rounds(time_ns, history)
        yield from self._totals(time_ns, info)
        if outgoing is OutgoingState.SNAPSHOT:
            self._running = False
            yield EndUnknown(time_ns)
        elif outgoing is not OutgoingState.UNSETTLED and state != self._state:
            self._state = state
            self._running = state not in ENDED
            self._closed = self._closed or state.startswith("postcopy")
            # a migration that is cancelled or completed has ended all of its rounds before
            follows = state == "failed" and not self._closed
            self._ended_ns = time_ns if follows else None
            yield StateChanged(time_ns, state, follows)

    def _last_round(self, time_ns: int, history: Mapping[str, Any], ended_ns: int) -> Iterator[Event]:
        """Rounds that came into the history after the end of the migration."""
        before = self._round
        yield from self._rounds(time_ns, history)
        if self._round > before or time_ns - ended_ns > _SETTLED_NS:
            self._ended_ns = None
            yield RoundsComplete(time_ns)

    def _adopt(self, time_ns: int, round_: int, mode: Mode, hash_: str | None) -> Iterator[Event]:
        before, self._mode = self._mode, mode
        if before not in (None, mode) or (before is None and mode is not Mode.OFF):
            yield ModeChanged(time_ns, round_, before or Mode.OFF, mode, hash_)

    def _totals(self, time_ns: int, info: Mapping[str, Any]) -> Iterator[Event]:
        """The mode now, in a round that is not over."""
        if totals := info.get("fake-dirty"):
            mode = Mode(Mode.parse(totals["mode"]))
            yield from self._adopt(time_ns, self._round + 1, mode, totals.get("hash"))

    def _rounds(self, time_ns: int, history: Mapping[str, Any]) -> Iterator[Event]:
        for entry in history.get("rounds", []):
            if entry["round"] <= self._round:
                continue
            missed = entry["round"] - self._round - 1
            self._round = entry["round"]
            self._closed = entry["kind"] == str(Kind.SWITCHOVER)
            flaw = f"{missed} rounds before this one had left QEMU's history" if missed else ""
            ended = history_round(entry, int(history["migration-start"]))
            if ended.mode is not None:  # the mode was changed in this round, which may be one of several
                adopted_ns = min(time_ns, int(entry["end"]))
                yield from self._adopt(adopted_ns, self._round, ended.mode, entry.get("hash"))
            yield RoundEnded(int(entry["end"]), ended, flaw=flaw, exact=entry.get("exact"))


def history_round(entry: Mapping[str, Any], migration_start_ns: int) -> Round:
    """One entry of QEMU's history as a round of the model. Columns that the entry does not have are None."""
    mode = Mode(Mode.parse(entry["mode"])) if "mode" in entry else None
    pages: dict[str, Any] = {f"{name}_pages": int(entry[name]) for name in _PAGES}
    pages |= {f"{name}_pages": int(entry[name]) for name in _OPTIONAL if name in entry}
    hashed = "fake" in entry or mode is not Mode.OFF
    return Round(
        round=entry["round"],
        kind=Kind(Kind.parse(entry["kind"])),
        mode=mode,
        hash=str(entry["hash"]) if hashed and "hash" in entry else None,
        start_seconds=(entry["start"] - migration_start_ns) / 1e9,
        duration_seconds=(entry["end"] - entry["start"]) / 1e9,
        **pages,
        transferred_bytes=entry["transferred"],
        saved_bytes=entry.get("saved-bytes", entry.get("saved")),  # `saved` in an earlier patch series
        hash_seconds=entry["hash-time"] / 1e9 if "hash-time" in entry else None,
        forced_syncs=entry["forced-syncs"],
    )
