"""The level `qmp`: rounds by asking QEMU, without root.

A patched QEMU keeps the history of its rounds, so that polling misses nothing that the history holds; of a
stock QEMU only sums are known, and no fake pages.

A socket serves one client, so it is taken for a moment, once a second. A connection stays, and looks are frequent, only
where that can lock nobody out: see :class:`MonitorSharing`.
"""

from __future__ import annotations

import contextlib
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fakedirty.errors import QmpError, TargetError
from fakedirty.model.trace import REQUEST_NS, Channel, TraceRecord
from fakedirty.observe.host.monitor_sharing import MonitorSharing
from fakedirty.qmp import dirty_limit
from fakedirty.qmp.monitor import Address, Monitor, connect
from fakedirty.qmp.rounds_command import history_command, in_answers, with_postcopy
from fakedirty.qmp.turn import in_turns, turn
from fakedirty.qmp.validation import parsing_answers

POLL_SECONDS = 0.1  # between two looks, on a connection that stays
LOOK_SECONDS = 1.0  # and on one that does not
SETTLE_SECONDS = 0.01
SETTLE_TRIES = 5

_log = logging.getLogger(__name__)


class QmpPoller:
    """Polls one QEMU at one of its `monitors`; `staying` decides whether the connection is kept between two looks."""

    def __init__(
        self,
        monitors: Sequence[Address],
        clock: Callable[[], int] = time.monotonic_ns,
        *,
        staying: MonitorSharing | None = None,
        may_receive: bool = True,
    ) -> None:
        if not monitors:
            raise TargetError("level qmp needs a QMP socket: name one with --qmp")
        self._monitors = monitors
        self._clock = clock
        self._staying = staying or MonitorSharing(monitors)
        self._may_receive = may_receive
        self._qmp: Monitor | None = None
        self._held_at: Address | None = None
        self._history: str | None = None  # the command that asks for it
        self._records: list[TraceRecord] = []
        self._info: Mapping[str, Any] = {}
        self._due = 0.0  # the next look
        self._withheld = False  # whether the last look did not ask query-migrate

    @property
    def probes(self) -> int:
        """None."""
        return 0

    @property
    def qmp(self) -> Monitor | None:
        """The connection that is held, for whoever has something to ask meanwhile; None where none is."""
        return self._qmp

    def attach(self) -> Mapping[str, object]:
        """Look for the first time: what begins from here on is seen whole."""
        self._history = in_turns(self._monitors, history_command)
        self._records.append(in_turns(self._monitors, self._look))
        self._due = time.monotonic() + LOOK_SECONDS
        return {"may_receive": self._may_receive}

    def poll(self, timeout: float) -> list[TraceRecord]:
        """A look, if it is time for one. What passes while QEMU does not answer shows as rounds not told apart."""
        places = self._staying.places()
        if self._held_at not in places:
            self.close()
        held = self._qmp is not None
        due = time.monotonic() + POLL_SECONDS if held else self._due
        time.sleep(max(0.0, min(timeout, due - time.monotonic())))
        if held or time.monotonic() >= due:
            self._due = time.monotonic() + LOOK_SECONDS
            with contextlib.suppress(QmpError):
                self._records.append(self._look_at(places))
        records, self._records = self._records, []
        return records

    def listen(self, ready: Callable[[], None]) -> bool:
        """It has to be polled."""
        return False

    def report(self, state: str) -> Mapping[str, object]:
        """What the last look has seen."""
        return self._info

    def _look_at(self, places: Sequence[Address]) -> TraceRecord:
        """By a connection that stays, where it may and can; by one that does not, else."""
        for place in places if self._qmp is None else ():
            with contextlib.suppress(QmpError):
                self._qmp, self._held_at = connect(place), place
                break
        if self._qmp is None:
            with turn(self._monitors) as qmp:
                return self._look(qmp)
        try:
            return self._look(self._qmp)
        except QmpError:
            self.close()
            raise

    def _look(self, qmp: Monitor) -> TraceRecord:
        # the run state first: a guest that arrives between the two has arrived, and does not leave
        answers = {REQUEST_NS: self._clock(), "query-status": qmp.execute("query-status")}
        if self._withholds(qmp):
            return TraceRecord(self._clock(), Channel.ANSWERS, json.dumps(answers).encode())
        answers["query-migrate"] = self._settled(qmp)
        if self._history:  # and the state before the history: rounds that ended before it are in there
            answers[self._history] = qmp.execute(self._history)
        self._info = with_postcopy(answers["query-migrate"], in_answers(answers) or {})
        return TraceRecord(self._clock(), Channel.ANSWERS, json.dumps(answers).encode())

    def _withholds(self, qmp: Monitor) -> bool:
        """Whether query-migrate is not asked, because it may end QEMU; says so where that begins."""
        before, self._withheld = self._withheld, self._history is None and dirty_limit.is_on(qmp)
        if self._withheld and not before:
            _log.warning(
                "%s: no migration is seen while %s is on: %s", qmp.path, dirty_limit.CAPABILITY, dirty_limit.REASON
            )
        return self._withheld

    def _settled(self, qmp: Monitor) -> Mapping[str, Any]:
        """The answer to query-migrate; of a migration that has just completed, with its times, as far as it has any."""
        with parsing_answers(qmp.path):
            info: Mapping[str, Any] = qmp.execute("query-migrate")
            known = self._info.get("status") == "completed"
            for _ in range(0 if known else SETTLE_TRIES):
                if info.get("status") != "completed" or info.get("total-time") != 0:
                    break
                time.sleep(SETTLE_SECONDS)
                info = qmp.execute("query-migrate")
            return info

    def close(self) -> None:
        """Give the socket back."""
        if self._qmp is not None:
            self._qmp.close()
        self._qmp = self._held_at = None
