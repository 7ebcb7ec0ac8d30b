"""Whether query-migrate reports an outgoing migration. It also reports incoming ones, and ``savevm``. Pure.

All of these use the same fields of the answer, and which fields there are differs by release. So other things decide:

- A QEMU whose run state is ``inmigrate`` sends nothing. A QEMU that never had this run state receives nothing.
- ``savevm`` goes from ``setup`` to its end at once, and its ``total-time`` is 0. A migration has other states between
  them, and takes longer.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from typing import Any

from fakedirty.model.migration import ENDED

WAITING = "inmigrate"

_REST = frozenset({"none", "setup"})
# In these states a destination has the run state `inmigrate`. So a QEMU with another run state is a source.
_BEFORE_THE_GUEST_RUNS = frozenset({"setup", "wait-unplug", "active", "pre-switchover", "device", "cancelling"})
_LEFT = frozenset({"finish-migrate", "postmigrate"})  # run states that only a source has


class OutgoingState(Enum):
    """The state of an outgoing migration by one answer."""

    NONE = auto()  # there is none, or it is not under way yet
    UNDER_WAY = auto()
    ENDED = auto()
    UNSETTLED = auto()  # it has the state completed, but QEMU has not computed its times yet: the next answer decides
    SNAPSHOT = auto()  # completed, but it was ``savevm``


class Outgoing:
    """Judges the answers of one QEMU in their order.

    `may_receive` is False if QEMU was started without ``-incoming``: then all of its migrations are outgoing.
    """

    def __init__(self, may_receive: bool = True) -> None:
        self._receives: bool | None = None if may_receive else False
        self._completed_in_no_time = False

    def judge(self, info: Mapping[str, Any], run_state: str | None) -> OutgoingState:
        """The state of the outgoing migration.

        Args:
            info: the answer of query-migrate.
            run_state: the answer of query-status, which was queried before; None: it was not queried.
        """
        state = str(info.get("status", "none"))
        in_no_time = state == "completed" and info.get("total-time") == 0
        again, self._completed_in_no_time = self._completed_in_no_time and in_no_time, in_no_time
        if self._incoming(state, info, run_state) or state in _REST:
            return OutgoingState.NONE
        if in_no_time:
            return OutgoingState.SNAPSHOT if again else OutgoingState.UNSETTLED
        return OutgoingState.ENDED if state in ENDED else OutgoingState.UNDER_WAY

    def _incoming(self, state: str, info: Mapping[str, Any], run_state: str | None) -> bool:
        """Whether the state is that of an incoming migration."""
        if run_state == WAITING:
            self._receives = True
            return True
        if state in ENDED or state == "none":
            received = self._receives is True
            self._receives = None if run_state is None and self._receives is not False else False
            return received
        if run_state is None:  # an old trace, in which only sources report times
            if state not in _REST:
                self._receives = self._receives is not False and "total-time" not in info
            return self._receives is True
        if self._receives is None:  # the first answer came in the middle of a migration
            self._receives = run_state not in _LEFT
        if state in _BEFORE_THE_GUEST_RUNS:
            self._receives = False
        return self._receives
