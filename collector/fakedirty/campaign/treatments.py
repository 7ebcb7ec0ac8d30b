"""The treatments of a campaign: one table, and for each of them the same without an observer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from fakedirty.lab.migrate import Settings
from fakedirty.lab.treatments import ALONE, CONVERGENCE, Treatment
from fakedirty.model.enums import Level, Mode
from fakedirty.qmp.parameters import AUDIT, HASH, MODE, WEAK_HASH

MIB = 1 << 20
HYBRID_ROUNDS = 2  # of pre-copy before the rest is fetched
CACHE = "xbzrle-cache-size"

_BASES = {each.name: each for each in CONVERGENCE}
VANILLA, SKIP = _BASES["vanilla"], _BASES["skip"]

#: hashes in the place of SHA-1, and what QEMU asks for where one is weak
HASHES: dict[str, dict[str, object]] = {
    "md5": {HASH: "md5"},
    "crc32": {HASH: "crc32", WEAK_HASH: True},
    "murmur3": {HASH: "murmur3-128"},
    "murmur3-32": {HASH: "murmur3-32", WEAK_HASH: True},
}

#: what is combined with vanilla and with skip: its name, what it is, and the fields of a treatment
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
#: treatments whose cache is to be as large as RAM, whatever the guest has
RAM_CACHE = ("xbzrle-ram", "skip+xbzrle")


@dataclass(frozen=True, slots=True)
class Arm:
    """A treatment as a campaign names it; the control arm of another is the same with no observer attached."""

    name: str
    treatment: Treatment
    observed: bool = True

    @property
    def summary(self) -> str:
        """What it is."""
        return self.treatment.summary if self.observed else f"{self.treatment.summary}; no observer attached"

    def settings(self, memory_mib: int, downtime_limit_ms: int, *, audit: bool = False) -> Settings:
        """How a guest of that size is migrated. A QEMU without the series takes those whose mode is off."""
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
        """MiB that XBZRLE's cache may take on the source."""
        if not self.treatment.capabilities.get("xbzrle"):
            return 0
        size = self.settings(memory_mib, 0).parameters[CACHE]
        return int(str(size)) // MIB


def cache_mib(memory_mib: int) -> int:
    """The least power of two that holds so much: QEMU takes no other."""
    return 1 << (memory_mib - 1).bit_length()


#: by name
ARMS: dict[str, Arm] = {
    arm.name: arm
    for treatment in _TABLE
    for arm in (
        Arm(treatment.name, treatment),
        Arm(treatment.name + UNOBSERVED, treatment, observed=False),
    )
}
