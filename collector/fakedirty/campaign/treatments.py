"""The treatments of a campaign: one table. Each treatment also exists without an observer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from fakedirty.lab.migrate import Settings
from fakedirty.lab.treatments import ALONE, CONVERGENCE, Treatment
from fakedirty.model.enums import Level, Mode
from fakedirty.qmp.parameters import AUDIT, HASH, MODE, WEAK_HASH

MIB = 1 << 20
HYBRID_ROUNDS = 2  # of pre-copy before postcopy begins
CACHE = "xbzrle-cache-size"

_BASES = {each.name: each for each in CONVERGENCE}
VANILLA, SKIP = _BASES["vanilla"], _BASES["skip"]

#: hashes in the place of SHA-1; QEMU takes the weak ones only if they are allowed
HASHES: dict[str, dict[str, object]] = {
    "md5": {HASH: "md5"},
    "crc32": {HASH: "crc32", WEAK_HASH: True},
    "murmur3": {HASH: "murmur3-128"},
    "murmur3-32": {HASH: "murmur3-32", WEAK_HASH: True},
}

#: what is combined with vanilla and with skip: name, summary, fields of the treatment
COMBINED: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("multifd", "multifd over its default number of channels", {"capabilities": {"multifd": True}}),
    (
        "multifd+zstd",
        "multifd with zstd",
        {"capabilities": {"multifd": True}, "shared": {"multifd-compression": "zstd"}},
    ),
    (
        "hybrid",
        f"postcopy after {HYBRID_ROUNDS} rounds",
        {"capabilities": {"postcopy-ram": True}, "postcopy_after": HYBRID_ROUNDS},
    ),
    ("auto-converge", "the guest is throttled until it converges", {"capabilities": {"auto-converge": True}}),
)

_TABLE = (
    *CONVERGENCE,
    Treatment("observe", "mode observe: pages are hashed, and all are sent", Level.QMP, Mode.OBSERVE),
    *(
        Treatment(
            f"skip-{name}",
            f"skip as published, with {name} in the place of SHA-1",
            Level.QMP,
            Mode.SKIP,
            parameters={**ALONE, **more},
        )
        for name, more in HASHES.items()
    ),
    *(replace(VANILLA, name=name, summary=summary, **fields) for name, summary, fields in COMBINED),
    *(
        replace(SKIP, name=f"skip+{name}", summary=f"{SKIP.summary}; {summary}", **fields)
        for name, summary, fields in COMBINED
    ),
)

UNOBSERVED = "-unobserved"
#: treatments whose cache is as large as the RAM of the guest
RAM_CACHE = ("xbzrle-ram", "skip+xbzrle")


@dataclass(frozen=True, slots=True)
class TreatmentArm:
    """A treatment as a campaign names it. One that is not `observed` is a control arm: no observer is attached."""

    name: str
    treatment: Treatment
    observed: bool = True

    @property
    def summary(self) -> str:
        """A line about the treatment."""
        return self.treatment.summary if self.observed else f"{self.treatment.summary}; no observer attached"

    def settings(self, memory_mib: int, downtime_limit_ms: int, *, audit: bool = False) -> Settings:
        """How a guest is migrated under this treatment.

        A treatment whose mode is off sets no mode, so a QEMU without the patch series takes it.

        Args:
            memory_mib: memory of the guest, in MiB.
            downtime_limit_ms: QEMU's `downtime-limit`.
            audit: whether QEMU keeps a copy of every page, if the mode is not off.
        """
        treatment = self.treatment
        parameters = dict(treatment.parameters)
        if treatment.mode not in (None, Mode.OFF):
            parameters[MODE] = str(treatment.mode)
            if audit:
                parameters[AUDIT] = True
        if treatment.name in RAM_CACHE:
            parameters[CACHE] = cache_mib(memory_mib) * MIB
        return Settings(
            downtime_limit_ms, parameters=parameters, capabilities=treatment.capabilities, shared=treatment.shared
        )

    def cache_mib(self, memory_mib: int) -> int:
        """The size of XBZRLE's cache on the source, in MiB; 0 without XBZRLE."""
        if not self.treatment.capabilities.get("xbzrle"):
            return 0
        size = self.settings(memory_mib, 0).parameters[CACHE]
        return int(str(size)) // MIB


def cache_mib(memory_mib: int) -> int:
    """The smallest power of two that holds `memory_mib` MiB: QEMU takes no other size."""
    return 1 << (memory_mib - 1).bit_length()


#: all treatments by name
ARMS: dict[str, TreatmentArm] = {
    arm.name: arm
    for treatment in _TABLE
    for arm in (
        TreatmentArm(treatment.name, treatment),
        TreatmentArm(treatment.name + UNOBSERVED, treatment, observed=False),
    )
}
