"""What the service says of its VMs, as ``watch`` shows it; those that left the host are kept for a while."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from fakedirty.record.restore import round_of
from fakedirty.show.figures import milliseconds, size
from fakedirty.show.table import toggle_words
from fakedirty.show.watch import Watched

GONE_SECONDS = 60.0  # for which a QEMU that has ended stays on the screen: libvirt's do as soon as their guest has left


def watched(vm: Mapping[str, Any], now: float) -> Watched:
    """What the service says of a VM; `now` is in seconds since 1970."""
    last = vm["last"]
    if not last:
        return Watched(vm["vm"], vm["pid"], vm["level"])
    running = last["outcome"] == "unfinished"
    arrived = last["side"] == "destination"
    return Watched(
        vm=vm["vm"],
        pid=vm["pid"],
        level=vm["level"],
        state="arrived" if arrived else last["state"],
        migration_id=last["migration_id"],
        running=running,
        valid=last["valid"] is not False,
        seconds=max(0.0, now - datetime.fromisoformat(last["started_at"]).timestamp()),
        round_count=last["rounds"],
        rounds=[round_of(row) for row in vm["rounds"]],
        toggles=[_toggle(row) for row in vm["toggles"]],
        verdict=vm["verdict"] or "",
        outcome="" if running or arrived else _outcome(last),
    )


def _toggle(row: Mapping[str, Any]) -> str:
    return toggle_words(row["from_mode"], row["to_mode"], row["hash"], row["seconds"], row["round"])


def _outcome(last: Mapping[str, Any]) -> str:
    parts = [
        f"total {milliseconds(last['total_time_ms'])}",
        f"downtime {milliseconds(last['downtime_ms'])}",
        f"sent {size(last['transferred_bytes'])}",
        f"{last['rounds']} rounds",
        f"{last['invalid_rounds']} of them invalid" if last["invalid_rounds"] else "",
        f"{last['lost_events']} events lost" if last["lost_events"] else "",
        "joined while it ran" if last["joined_late"] else "",
        f"{last['totals']}: {last['totals_reason']}" if last["totals"] not in (None, "equal") else "",
    ]
    return "; ".join(filter(None, parts))


class Memory:
    """Look after look; `clock` says how long ago something was seen."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[int, tuple[float, Watched]] = {}

    def look(self, vms: Iterable[Watched]) -> list[Watched]:
        """What is there, and what was there a while ago and had migrated."""
        now = self._clock()
        here = {each.pid: (now, each) for each in vms}
        names = {each.vm for _, each in here.values()}
        for pid, (when, each) in self._seen.items():
            if pid not in here and each.vm not in names and each.state and now - when < GONE_SECONDS:
                here[pid] = (when, replace(each, running=False, gone=True))
        self._seen = here
        return [each for _, each in here.values()]
