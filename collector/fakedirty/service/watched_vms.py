"""The VMs in the status of the service, as ``watch`` shows them; those that have left the host stay for a while."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from fakedirty.format.numbers import milliseconds, size
from fakedirty.format.progress import stall_words
from fakedirty.record.restore import round_of
from fakedirty.record.standing import progress_of, stretch_of
from fakedirty.show.table import toggle_words
from fakedirty.show.watch import Watched

GONE_SECONDS = 60.0  # how long a QEMU that has ended is shown: libvirt ends a QEMU as soon as its guest has left


def watched(vm: Mapping[str, Any], now: float) -> Watched:
    """One VM of a status.

    Args:
        vm: The VM in the status.
        now: Seconds since 1970.
    """
    last = vm["last"]
    if not last:
        return Watched(vm["vm"], vm["pid"], vm["level"], start_ticks=vm.get("start_ticks", 0), uuid=vm.get("uuid", ""))
    running = last["outcome"] == "unfinished"
    started = datetime.fromisoformat(last["started_at"]).timestamp()
    progress, rate = vm.get("progress"), vm.get("dirty_rate")  # which an older service does not have
    arrived = last["side"] == "destination"
    return Watched(
        vm=vm["vm"],
        pid=vm["pid"],
        level=vm["level"],
        state="arrived" if arrived else last["state"],
        migration_id=last["migration_id"],
        running=running,
        valid=last["valid"] is not False,
        seconds=max(0.0, now - started),
        round_count=last["rounds"],
        rounds=[round_of(row) for row in vm["rounds"]],
        toggles=[_toggle(row) for row in vm["toggles"]],
        verdict=vm["verdict"] or "",
        outcome="" if running or arrived else _outcome(last, vm.get("downtime") or ""),
        start_ticks=vm.get("start_ticks", 0),  # which an older service does not have
        uuid=vm.get("uuid", ""),
        arrived=arrived,
        progress=None if progress is None else progress_of(progress, started, now),
        stall=stall_words(stretch_of(vm.get("stall"))),
        dirty_rate=None if rate is None else rate["pages"],
    )


def _toggle(row: Mapping[str, Any]) -> str:
    return toggle_words(row["from_mode"], row["to_mode"], row["hash"], row["seconds"], row["round"])


def _outcome(last: Mapping[str, Any], downtime: str) -> str:
    """How it ended; `downtime` has where the downtime went, and is empty from an older service."""
    parts = [
        f"total {milliseconds(last['total_time_ms'])}",
        f"downtime {milliseconds(last['downtime_ms'])}",
        f"sent {size(last['transferred_bytes'])}",
        f"{last['rounds']} rounds",
        f"{last['invalid_rounds']} of them invalid" if last["invalid_rounds"] else "",
        f"{last['lost_events']} events lost" if last["lost_events"] else "",
        "joined while it ran" if last["joined_late"] else "",
        f"{last['totals']}: {last['totals_reason']}" if last["totals"] not in (None, "equal") else "",
        downtime,
    ]
    return "; ".join(filter(None, parts))


class WatchedVms:
    """Remembers VMs from one look at the status to the next.

    Args:
        clock: Seconds, from any start.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._looks = 0
        self._seen: dict[tuple[int, int], _Seen] = {}

    def look(self, vms: Iterable[Watched]) -> list[Watched]:
        """The VMs that are there, and those that left a short time ago after a migration, unless the guest is back."""
        self._looks += 1
        now = self._clock()
        here: dict[tuple[int, int], _Seen] = {}
        for vm in vms:
            before = self._seen.get(vm.process)
            since = self._looks if before is None or before.vm.gone else before.since
            here[vm.process] = _Seen(vm, since, self._looks, now)
        gone = [
            replace(each, vm=replace(each.vm, running=False, gone=True))
            for process, each in self._seen.items()
            if process not in here and each.vm.state and now - each.when < GONE_SECONDS
        ]
        for each in gone:
            if not any(each.is_followed_by(other) for other in here.values()):
                here[each.vm.process] = each
        self._seen = here
        return [each.vm for each in here.values()]


@dataclass(frozen=True, slots=True)
class _Seen:
    """A QEMU that was seen from the look `since` to the look `until`, which was at the time `when`."""

    vm: Watched
    since: int
    until: int
    when: float

    def is_followed_by(self, other: _Seen) -> bool:
        """Whether `other` has its guest now.

        It has if the UUIDs are equal. Without UUIDs the names must be equal, and either the guest has arrived in
        `other`, or the two QEMUs were never there at the same time.
        """
        if other.vm.gone or self.vm.vm != other.vm.vm or self.vm.uuid != other.vm.uuid:
            return False
        return bool(self.vm.uuid) or other.vm.arrived or other.since > self.until
