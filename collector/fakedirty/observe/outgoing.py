"""Whether what query-migrate reports leaves this QEMU: not what comes to it, and not what it writes into its own disks.

The state of a migration is one field of QEMU's, whichever side this QEMU is on, and ``savevm`` fills it too, with its
counters. What tells them apart is not which fields are there, as that differs by release:

- a QEMU sends nothing while its run state is ``inmigrate``, and receives nothing before it was in that one;
- ``savevm`` goes from ``setup`` to its end, and takes no ``total-time``: a migration is in other states between them,
  and takes some.

Pure: answers in, judgements out.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from typing import Any

from fakedirty.model.migration import ENDED

WAITING = "inmigrate"

_REST = frozenset({"none", "setup"})
# in which a destination still has the run state `inmigrate`, so that one that has another is a source
_BEFORE_THE_GUEST_RUNS = frozenset({"setup", "wait-unplug", "active", "pre-switchover", "device", "cancelling"})
_LEFT = frozenset({"finish-migrate", "postmigrate"})  # run states of a source alone


class Sight(Enum):
    """What an answer shows of an outgoing migration."""

    NONE = auto()  # there is none, or it is not under way yet
    UNDER_WAY = auto()
    ENDED = auto()
    UNSETTLED = auto()  # completed by its state, while its times are not computed yet: look again
    SNAPSHOT = auto()  # completed, and it was no migration


class Outgoing:
    """Judges one answer after the other.

    `may_receive` is False where QEMU was not started with ``-incoming``: all of its migrations are outgoing then.
    """

    def __init__(self, may_receive: bool = True) -> None:
        self._receives: bool | None = None if may_receive else False
        self._completed_in_no_time = False

    def see(self, info: Mapping[str, Any], run_state: str | None) -> Sight:
        """What ``query-migrate`` shows; `run_state` was queried before it, None where it was not."""
        state = str(info.get("status", "none"))
        in_no_time = state == "completed" and info.get("total-time") == 0
        again, self._completed_in_no_time = self._completed_in_no_time and in_no_time, in_no_time
        if self._incoming(state, info, run_state) or state in _REST:
            return Sight.NONE
        if in_no_time:
            return Sight.SNAPSHOT if again else Sight.UNSETTLED
        return Sight.ENDED if state in ENDED else Sight.UNDER_WAY

    def _incoming(self, state: str, info: Mapping[str, Any], run_state: str | None) -> bool:
        """Whether the state is that of a migration to this QEMU."""
        if run_state == WAITING:
            self._receives = True
            return True
        if state in ENDED or state == "none":
            received = self._receives is True
            self._receives = None if run_state is None and self._receives is not False else False
            return received
        if run_state is None:  # an old trace: times are what a source alone was seen to report
            if state not in _REST:
                self._receives = self._receives is not False and "total-time" not in info
            return self._receives is True
        if self._receives is None:  # it was met in the middle
            self._receives = run_state not in _LEFT
        if state in _BEFORE_THE_GUEST_RUNS:
            self._receives = False
        return self._receives
