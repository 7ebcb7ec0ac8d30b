"""Where the downtime went, in a sentence: how long the guest was stopped, what took most of it, and the rest."""

from __future__ import annotations

from fakedirty.harmless import harmless
from fakedirty.model.downtime import Blackout, Part, PartKind

KINDS = {
    PartKind.STOP: "stop",
    PartKind.PREPARE: "preparation",
    PartKind.SYNC: "last bitmap sync",
    PartKind.RAM: "last RAM",
    PartKind.SAVE: "saving",
    PartKind.STATES: "vCPU states",
    PartKind.WIRE: "wire",
    PartKind.RECEIVE: "receiving RAM",
    PartKind.LOAD: "loading",
    PartKind.START: "start",
    PartKind.HANDOVER: "wire and destination",
}


def downtime_words(found: Blackout) -> str:
    """The blackout with its five slowest parts. A device is named as QEMU names it."""
    slowest = found.slowest()
    named = [f"{part_words(part)} {time_words(part.weight_ns)}" for part in slowest]
    if found.duration_ns is None:
        if not named:
            return "The downtime was not measured as a whole, and no part of it took a measurable time."
        return f"Slowest in the downtime, which was not measured as a whole: {', '.join(named)}."
    others = sum(found.counted.values()) - sum(part.weight_ns for part in slowest)
    named += [f"other parts {time_words(others)}"] if others else []
    named += [f"unexplained {time_words(rest)}"] if (rest := found.unexplained_ns) else []
    return f"The guest was stopped for {time_words(found.duration_ns)}{': ' if named else ''}{', '.join(named)}."


def part_words(part: Part) -> str:
    """What a part is, with the name of its device.

    >>> part_words(Part(PartKind.LOAD, 0, 5, 5, "timer", 1))
    'loading timer 1'
    """
    which = f" {harmless(part.device)}" if part.device else ""
    return f"{KINDS[part.kind]}{which}{f' {part.instance}' if part.instance else ''}"


def time_words(ns: int) -> str:
    """A short time in the unit that suits it.

    >>> [time_words(ns) for ns in (0, 1, 4_200, 1_500_000, 34_000_000, 2_250_000_000)]
    ['0 ms', '1 µs', '4 µs', '1.5 ms', '34 ms', '2.25 s']
    """
    if 0 < ns < 999_500:
        return f"{max(1, round(ns / 1e3))} µs"
    if ns < 999_500_000:
        return f"{ns / 1e6:.{1 if 0 < ns < 9_950_000 else 0}f} ms"
    return f"{ns / 1e9:.2f} s"
