"""The possibilities that plans are drawn from: what QEMU accepts, and what this host runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .memory_layouts import ONE_BLOCK

MOST_VCPUS = 3


@dataclass(frozen=True, slots=True)
class Possibilities:
    """What QEMU accepts together with skip, and what this host runs.

    Attributes:
        hashes: those that QEMU skips by; its default first.
        parameters: what has to be set for QEMU to accept all of `hashes`.
        audit: whether QEMU has the audit.
        memories: the memory layouts, by name.
        refuses_late: whether QEMU refuses toggles from its decision on the switchover on.
        ring: whether KVM has a dirty ring.
        compressions: those of multifd; empty if QEMU does not skip with multifd.
        routes: those of :data:`.route.OPTIONAL`.
        vcpus: the most that a guest has.
        left_out: what is not run, each with the reason.
    """

    hashes: tuple[str, ...]
    accelerators: tuple[str, ...] = ("tcg",)
    parameters: Mapping[str, object] = field(default_factory=dict)
    audit: bool = False
    memories: tuple[str, ...] = (ONE_BLOCK,)
    refuses_late: bool = False
    ring: bool = False
    compressions: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()
    vcpus: int = MOST_VCPUS
    left_out: tuple[str, ...] = ()

    @property
    def survives_faults(self) -> bool:
        """Whether every migration with a fault ends. In patch series that do not skip with multifd, some do not."""
        return bool(self.compressions)
