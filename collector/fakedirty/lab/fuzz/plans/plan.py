"""The plan of a fuzzed migration: a guest, how it is migrated, and which toggle is set when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fakedirty.lab.guests.workload import Workload
from fakedirty.model.enums import Mode
from fakedirty.qmp.parameters import SWITCHOVER

from .faults import KILLED_IN_STOP, Fault
from .moment import Moment
from .multifd import WITHOUT, Multifd
from .route import Route

DIRTY_LIMIT = "dirty-limit"  # a capability, and the name of its feature
RING = "dirty ring"


@dataclass(frozen=True, slots=True)
class Toggle:
    """A mode and a hash to set, and the audit where QEMU has one. A `hasty` toggle is not waited for."""

    mode: Mode
    hash: str
    audit: bool | None = None
    moment: Moment = field(default_factory=Moment)
    hasty: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """A QMP command with `parameters`, while a migration runs; `feature` is what toggles meet by it, if anything."""

    parameters: Mapping[str, object]
    moment: Moment
    feature: str | None = None
    command: str = "migrate-set-parameters"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One migration to one destination.

    Attributes:
        before: toggles before it starts.
        toggles: toggles while it runs.
        seconds: after so many the migration is let through, unless one of the following ends it before.
        cancel: when it is cancelled.
        changes: other commands while it runs.
        guest_stop: when the guest is stopped, and the parameters that are set then. QEMU decides on the switchover.
        fault: what breaks, and when.
        postcopy: when postcopy begins.
    """

    before: tuple[Toggle, ...]
    toggles: tuple[Toggle, ...]
    seconds: float
    cancel: Moment | None = None
    changes: tuple[Change, ...] = ()
    guest_stop: Change | None = None
    fault: Fault | None = None
    postcopy: Moment | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """A fuzzed migration: one guest, and attempts, of which the last has no fault but in postcopy.

    Attributes:
        bandwidth_bytes: how much QEMU may send in a second.
        attempts: all from one source, each to a destination of its own.
        link_bits: the rate of the link per second; None: as fast as this host makes it.
        ring: how many entries KVM's dirty ring has; None: KVM reports written pages by a bitmap.
        route: None: over a connection, without postcopy.
    """

    seed: int
    index: int
    workload: Workload
    vcpus: int
    accelerator: str
    memory: str
    bandwidth_bytes: int
    downtime_limit_ms: int
    capabilities: Mapping[str, bool]
    parameters: Mapping[str, object]
    attempts: tuple[Attempt, ...]
    link_bits: int | None = None
    ring: int | None = None
    multifd: Multifd | None = None
    route: Route | None = None

    @property
    def has_large_device_state(self) -> bool:
        """Whether the devices need more state than sockets buffer: a destination is killed while that is sent."""
        return any(attempt.fault and attempt.fault.how == KILLED_IN_STOP for attempt in self.attempts)

    @property
    def features(self) -> tuple[str, ...]:
        """The features that toggles meet in every attempt."""
        switched = {name: self.capabilities[name] for name in ("xbzrle", "auto-converge", "pause-before-switchover")}
        switched[SWITCHOVER] = bool(self.parameters[SWITCHOVER])
        return (
            self.accelerator,
            *((RING,) if self.ring else ()),
            *((DIRTY_LIMIT,) if self.capabilities.get(DIRTY_LIMIT) else ()),
            self.memory,
            f"{self.vcpus} vcpu",
            *(self.multifd.features if self.multifd else (WITHOUT,)),
            *(self.route.features if self.route else ()),
            *(f"{name} {'on' if state else 'off'}" for name, state in switched.items()),
        )
