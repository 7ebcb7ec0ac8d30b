"""What an observer says, at every level: the only way from a running QEMU into the model.

All times are nanoseconds of CLOCK_MONOTONIC, which QEMU, the kernel and Python share on one host.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .enums import Mode
from .round import Round


@dataclass(frozen=True, slots=True)
class MigrationStarted:
    """A migration began (or, with `partial`, was already running when the observer came).

    Of an `incoming` one, whose destination the observed QEMU is, nothing is seen before its guest arrives.
    """

    time_ns: int
    partial: bool = False
    incoming: bool = False


@dataclass(frozen=True, slots=True)
class RoundEnded:
    """A round is over. `seen` are the counts of a second, independent source, to be held against it.

    `seen` maps columns of :class:`Round` to the count of that source (the kernel's count of page
    records beside QEMU's own counters, say); a difference makes the round invalid. `flaw` is what the
    observer itself knows to be wrong with the round. `postcopy` is whether postcopy moved pages in it. `exact` is
    whether the laws of rounds hold of it by QEMU's own word: not where pages are counted in one place as queued, and in
    another as sent. None where QEMU does not say.
    """

    time_ns: int
    round: Round
    seen: Mapping[str, int] = field(default_factory=dict)
    flaw: str = ""
    postcopy: bool = False
    exact: bool | None = None


@dataclass(frozen=True, slots=True)
class ModeChanged:
    """QEMU adopted a mode or a hash: a toggle, by whoever. The hash is None where it was not seen."""

    time_ns: int
    round: int
    from_mode: Mode
    to_mode: Mode
    hash: str | None


@dataclass(frozen=True, slots=True)
class StateChanged:
    """The migration is in another state of QEMU's ``MigrationStatus``.

    QEMU may be in a state that is an end before it has ended the last round: then that one `follows`, and after it
    :class:`RoundsComplete`.
    """

    time_ns: int
    state: str
    follows: bool = False


@dataclass(frozen=True, slots=True)
class RoundsComplete:
    """Of a migration that has ended, no round is to come any more."""

    time_ns: int


@dataclass(frozen=True, slots=True)
class EventsLost:
    """`count` events never reached the observer; `where` says at which place they were lost."""

    time_ns: int
    count: int
    where: str


@dataclass(frozen=True, slots=True)
class FinalReport:
    """What ``query-migrate`` said when the migration had ended (or was last seen).

    `flaw` is why it is empty, or may be of another migration.
    """

    time_ns: int
    info: Mapping[str, object]
    flaw: str = ""


@dataclass(frozen=True, slots=True)
class Closed:
    """Nothing more of the migration will be observed: its pages can be held against QEMU's totals."""

    time_ns: int


@dataclass(frozen=True, slots=True)
class LimitsRead:
    """What QEMU was told of how long the guest may be stopped, and how fast it may take the switchover to be.

    `switchover_rate` is in bytes a second; None where QEMU goes by what it measures. `channels` is how many send pages
    at once, 1 without multifd, and `compressed` whether they compress them; None where QEMU did not say.
    """

    time_ns: int
    downtime_limit_ms: int
    switchover_rate: int | None = None
    channels: int | None = None
    compressed: bool | None = None


@dataclass(frozen=True, slots=True)
class GuestStopped:
    """The source stopped its guest, for the switchover or for another reason."""

    time_ns: int


@dataclass(frozen=True, slots=True)
class GuestContinued:
    """The observed QEMU lets its guest run again: there was no switchover, or the guest had arrived stopped."""

    time_ns: int


@dataclass(frozen=True, slots=True)
class DestinationFound:
    """A QEMU on this host waits for a migration."""

    time_ns: int
    vm: str


@dataclass(frozen=True, slots=True)
class GuestArrived:
    """The destination, on this host, has the guest: it lets it run, or keeps it stopped, be it for now."""

    time_ns: int
    running: bool


Event = (
    GuestStopped
    | GuestContinued
    | DestinationFound
    | GuestArrived
    | MigrationStarted
    | RoundEnded
    | ModeChanged
    | StateChanged
    | RoundsComplete
    | EventsLost
    | FinalReport
    | Closed
    | LimitsRead
)
