"""The events that an observer reports, at every level. The model of a migration is built from them alone.

Every `time_ns` is in nanoseconds of CLOCK_MONOTONIC, a clock that QEMU, the kernel and Python share on one host.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .enums import Mode
from .round import Round


@dataclass(frozen=True, slots=True)
class MigrationStarted:
    """A migration began.

    Attributes:
        partial: it was already running when the observer attached.
        incoming: the observed QEMU is its destination, where nothing is seen before the guest arrives.
    """

    time_ns: int
    partial: bool = False
    incoming: bool = False


@dataclass(frozen=True, slots=True)
class RoundEnded:
    """A round ended.

    Attributes:
        round: its counts.
        seen: pages that a second, independent source counted (the probes, beside QEMU's own counters), by column of
            :class:`Round`. A difference makes the round invalid.
        flaw: a fault of the round that the observer knows of; empty if none.
        postcopy: postcopy moved pages in it.
        exact: whether QEMU itself calls the counts of the round exact. They are not where QEMU counts a page as visited
            when it is queued, and as sent when a channel takes it. None where QEMU reports nothing about it.
    """

    time_ns: int
    round: Round
    seen: Mapping[str, int] = field(default_factory=dict)
    flaw: str = ""
    postcopy: bool = False
    exact: bool | None = None


@dataclass(frozen=True, slots=True)
class ModeChanged:
    """QEMU adopted another mode or hash (a toggle), whoever set it.

    Attributes:
        round: the round in which it did; 0 before the first.
        hash: the hash after the toggle; None where the source cannot see it.
    """

    time_ns: int
    round: int
    from_mode: Mode
    to_mode: Mode
    hash: str | None


@dataclass(frozen=True, slots=True)
class StateChanged:
    """The migration entered another state of QEMU's ``MigrationStatus``.

    Attributes:
        follows: the state is an end, and QEMU has not ended the last round yet. That round comes next, and after it
            :class:`RoundsComplete`.
    """

    time_ns: int
    state: str
    follows: bool = False


@dataclass(frozen=True, slots=True)
class RoundsComplete:
    """The migration has ended, and no more rounds of it will come."""

    time_ns: int


@dataclass(frozen=True, slots=True)
class EventsLost:
    """`count` events did not reach the observer; `where` names the place at which they were lost."""

    time_ns: int
    count: int
    where: str


@dataclass(frozen=True, slots=True)
class FinalReport:
    """The answer of ``query-migrate`` after the migration ended, or the last one before the observation ended.

    Attributes:
        info: the answer.
        flaw: the reason why it is empty, or may belong to another migration; empty if neither.
    """

    time_ns: int
    info: Mapping[str, object]
    flaw: str = ""


@dataclass(frozen=True, slots=True)
class Closed:
    """The observation of the migration ended: its pages can be compared with QEMU's totals."""

    time_ns: int


@dataclass(frozen=True, slots=True)
class LimitsRead:
    """Parameters of the migration, read from QEMU.

    Attributes:
        downtime_limit_ms: how long the guest may be stopped, in milliseconds.
        switchover_rate: bytes a second by which QEMU decides on the switchover; None where it uses the rate that it
            measures.
        channels: number of channels that send pages at the same time, 1 without multifd; None where QEMU did not
            report it.
        compressed: whether multifd compresses pages; None where QEMU did not report it.
        return_path: whether the destination reports back to the source; None where QEMU did not report it.
        vcpu_rates: bytes that each vCPU dirties in a second, by its index; None where QEMU does not measure them.
    """

    time_ns: int
    downtime_limit_ms: int
    switchover_rate: int | None = None
    channels: int | None = None
    compressed: bool | None = None
    return_path: bool | None = None
    vcpu_rates: Mapping[int, int] | None = None


@dataclass(frozen=True, slots=True)
class RemainingRead:
    """What is left to be sent, of RAM and of all devices, by QEMU's answer: `size` bytes."""

    time_ns: int
    size: int


@dataclass(frozen=True, slots=True)
class GuestStopped:
    """The source stopped its guest, for the switchover or for another reason."""

    time_ns: int


@dataclass(frozen=True, slots=True)
class GuestContinued:
    """The observed QEMU runs its guest again: there was no switchover, or the guest had arrived stopped."""

    time_ns: int


@dataclass(frozen=True, slots=True)
class DestinationFound:
    """A QEMU on this host waits for a migration."""

    time_ns: int
    vm: str


@dataclass(frozen=True, slots=True)
class GuestArrived:
    """The guest arrived at a destination on this host.

    Attributes:
        running: the destination runs it; False while it keeps the guest stopped.
    """

    time_ns: int
    running: bool


@dataclass(frozen=True, slots=True)
class CheckpointReached:
    """The source or the destination has passed a checkpoint of the switchover; `name` is QEMU's name of it."""

    time_ns: int
    name: str


@dataclass(frozen=True, slots=True)
class DeviceSaved:
    """The source has saved the state of a device, with the guest stopped.

    Attributes:
        time_ns: when it was saved.
        device: QEMU's name of it, such as ``0000:00:03.0/virtio-net``; RAM is the device ``ram``.
        instance: distinguishes devices of one name.
        duration_ns: how long that took.
        iterable: the device has sent state before, with the guest running, as RAM does.
    """

    time_ns: int
    device: str
    instance: int
    duration_ns: int
    iterable: bool


@dataclass(frozen=True, slots=True)
class DeviceLoaded:
    """The destination has loaded what :class:`DeviceSaved` saved; the attributes are those of that event."""

    time_ns: int
    device: str
    instance: int
    duration_ns: int
    iterable: bool


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
    | CheckpointReached
    | DeviceSaved
    | DeviceLoaded
    | RemainingRead
)
