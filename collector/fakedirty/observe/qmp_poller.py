"""The tracer of level `qmp`: it polls QEMU, and needs no root.

A QEMU with the patch series keeps a history of its rounds, so polling misses none that the history has. A stock QEMU
reports only sums, and no fake pages.

A QMP socket serves one client at a time. So the socket is used for a moment, once a second (a look). If no other client
can be locked out, the connection is kept, and looks are more frequent: see :class:`MonitorSharing`.
"""

from __future__ import annotations

import contextlib
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fakedirty.errors import QmpError, TargetError
from fakedirty.model.trace import ASKED, Channel, TraceRecord
from fakedirty.observe.host.monitor_sharing import MonitorSharing
from fakedirty.qmp import dirty_limit
from fakedirty.qmp.monitor import Address, Monitor, connect
from fakedirty.qmp.rounds_command import history_command, in_answers, with_postcopy
from fakedirty.qmp.turn import in_turns, turn
from fakedirty.qmp.validation import understanding

POLL_SECONDS = 0.1  # between two looks, with a connection that is kept
LOOK_SECONDS = 1.0  # and with one that is not
SETTLE_SECONDS = 0.01
SETTLE_TRIES = 5

_log = logging.getLogger(__name__)


class QmpPoller:
    """Polls one QEMU.

    Args:
        monitors: its monitors, the best first.
        clock: returns the time in ns by CLOCK_MONOTONIC.
        staying: decides whether the connection is kept between two looks.
        may_receive: False if QEMU was started without ``-incoming``.

    Raises:
        TargetError: there is no monitor.
    """

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
        self._history: str | None = None  # the command that returns the history of rounds
        self._records: list[TraceRecord] = []
        self._info: Mapping[str, Any] = {}
        self._due = 0.0  # the next look
        self._withheld = False  # the last look did not send query-migrate

    @property
    def probes(self) -> int:
        """This level attaches no probes."""
        return 0

    @property
    def qmp(self) -> Monitor | None:
        """The connection that is kept, which others may use meanwhile; None if none is kept."""
        return self._qmp

    def attach(self) -> Mapping[str, object]:
        """Take the first look. A migration that begins from now on is observed from its start."""
        self._history = in_turns(self._monitors, history_command)
        self._records.append(in_turns(self._monitors, self._look))
        self._due = time.monotonic() + LOOK_SECONDS
        return {"may_receive": self._may_receive}

    def poll(self, timeout: float) -> list[TraceRecord]:
        """Take a look, if one is due. Rounds that end while QEMU does not answer become one row."""
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
        """This level must be polled."""
        return False

    def report(self, state: str) -> Mapping[str, object]:
        """The answer of query-migrate at the last look."""
        return self._info

    def _look_at(self, places: Sequence[Address]) -> TraceRecord:
        """Look by a connection that is kept, if possible, and by a short one otherwise."""
        for place in places if self._qmp is None else ():
            with contextlib.suppress(QmpError):
                self._qmp, self._held_at = connect(place), place
                _log.info("the connection to %s is kept: no other client can use that socket", place)
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
        # query-status first: if a guest arrives between the two, query-migrate reports a migration that is over
        answers = {ASKED: self._clock(), "query-status": qmp.execute("query-status")}
        if self._withholds(qmp):
            return TraceRecord(self._clock(), Channel.ANSWERS, json.dumps(answers).encode())
        answers["query-migrate"] = self._settled(qmp)
        if self._history:  # after the state: rounds that ended before the state was read are in the history
            answers[self._history] = qmp.execute(self._history)
        self._info = with_postcopy(answers["query-migrate"], in_answers(answers) or {})
        return TraceRecord(self._clock(), Channel.ANSWERS, json.dumps(answers).encode())

    def _withholds(self, qmp: Monitor) -> bool:
        """Whether query-migrate must not be sent, because it may end QEMU. Logs a warning when that begins."""
        before, self._withheld = self._withheld, self._history is None and dirty_limit.is_on(qmp)
        if self._withheld and not before:
            _log.warning(
                "%s: no migration is seen while %s is on: %s", qmp.path, dirty_limit.CAPABILITY, dirty_limit.REASON
            )
        return self._withheld

    def _settled(self, qmp: Monitor) -> Mapping[str, Any]:
        """The answer of query-migrate. If a migration has just completed, waits a moment until it has its times."""
        with understanding(qmp.path):
            info: Mapping[str, Any] = qmp.execute("query-migrate")
            known = self._info.get("status") == "completed"
            for _ in range(0 if known else SETTLE_TRIES):
                if info.get("status") != "completed" or info.get("total-time") != 0:
                    break
                time.sleep(SETTLE_SECONDS)
                info = qmp.execute("query-migrate")
            return info

    def close(self) -> None:
        """Close the connection."""
        if self._qmp is not None:
            _log.info("the connection to %s is given back", self._held_at)
            self._qmp.close()
        self._qmp = self._held_at = None
