"""What a fuzzed migration is to be: a guest, how it is migrated, and what is toggled when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fakedirty.lab.guests.workload import Workload
from fakedirty.model.enums import Mode
from fakedirty.qmp.parameters import SWITCHOVER

from .faults import KILLED_IN_STOP, Fault
from .memory_layouts import ONE_BLOCK
from .moment import Moment
from .multifd import WITHOUT, Multifd
from .route import Way

AUDIT_PARAMETER = "fake-dirty-audit"
DIRTY_LIMIT = "dirty-limit"  # a capability, and the name of its feature
RING = "dirty ring"
WEAK_PARAMETER = "fake-dirty-allow-weak-hash"
MOST_VCPUS = 3


@dataclass(frozen=True, slots=True)
class Possibilities:
    """What QEMU accepts and the machine runs. `parameters` are to be set for it to accept all of `hashes`.

    `decides` is whether it refuses toggles from its decision on the switchover on, `ring` whether KVM reports written
    pages by a ring too. `compressions` are those of multifd that it skips with, `ways` what else than a connection it
    skips with, `vcpus` the most that a guest has. `left_out` says what is not run, each with who refused it.
    """

    hashes: tuple[str, ...]
    accelerators: tuple[str, ...] = ("tcg",)
    parameters: Mapping[str, object] = field(default_factory=dict)
    audit: bool = False
    memories: tuple[str, ...] = (ONE_BLOCK,)
    decides: bool = False
    ring: bool = False
    compressions: tuple[str, ...] = ()
    ways: tuple[str, ...] = ()
    vcpus: int = MOST_VCPUS
    left_out: tuple[str, ...] = ()

    @property
    def breaks(self) -> bool:
        """Whether what breaks ends: of a QEMU that does not skip with multifd nobody has mended that."""
        return bool(self.compressions)


@dataclass(frozen=True, slots=True)
class Toggle:
    """A mode and a hash to set, and the audit where QEMU has one. A `hasty` one does not wait to be adopted."""

    mode: Mode
    hash: str
    audit: bool | None = None
    moment: Moment = field(default_factory=Moment)
    hasty: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """A command while a migration runs, with `parameters`; `feature` names what toggles meet by that, if anything."""

    parameters: Mapping[str, object]
    moment: Moment
    feature: str | None = None
    command: str = "migrate-set-parameters"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One migration to one destination: what is set `before` it starts, what while it runs, and its end.

    After `seconds` it is let through, unless it is cancelled at a moment before, or `broken` then, or the guest is made
    to stand `still` and its switchover left to what it is expected to send, or the rest of it is left to `postcopy`.
    """

    before: tuple[Toggle, ...]
    toggles: tuple[Toggle, ...]
    seconds: float
    cancel: Moment | None = None
    changes: tuple[Change, ...] = ()
    still: Change | None = None
    broken: Fault | None = None
    postcopy: Moment | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """A fuzzed migration: one guest, and attempts, in the last of which nothing breaks but in postcopy.

    The link is as fast as the machine makes it, and `bandwidth_bytes` (a second) what QEMU may use of it, but where
    `link_bits` (a second) are given: then it is the link that is slow. `ring` is the number of entries of KVM's dirty
    ring; None: a bitmap. `way` is None for one over a connection that ends in pre-copy.
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
    way: Way | None = None

    @property
    def much_state(self) -> bool:
        """Whether the devices are to have more state than sockets take: a destination is killed as that is sent."""
        return any(attempt.broken and attempt.broken.how == KILLED_IN_STOP for attempt in self.attempts)

    @property
    def features(self) -> tuple[str, ...]:
        """What toggles meet in every attempt, in words."""
        switched = {name: self.capabilities[name] for name in ("xbzrle", "auto-converge", "pause-before-switchover")}
        switched[SWITCHOVER] = bool(self.parameters[SWITCHOVER])
        return (
            self.accelerator,
            *((RING,) if self.ring else ()),
            *((DIRTY_LIMIT,) if self.capabilities.get(DIRTY_LIMIT) else ()),
            self.memory,
            f"{self.vcpus} vcpu",
            *(self.multifd.features if self.multifd else (WITHOUT,)),
            *(self.way.features if self.way else ()),
            *(f"{name} {'on' if state else 'off'}" for name, state in switched.items()),
        )
