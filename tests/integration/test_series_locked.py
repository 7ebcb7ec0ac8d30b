"""With all of QEMU's memory locked, a table is not: it takes memory for pages that were visited, not at once."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from fakedirty.lab.guests.content import PAGE_BYTES
from fakedirty.lab.guests.workload import Workload
from fakedirty.lab.machine import Machine
from fakedirty.lab.migrate import UNLIMITED, Settings, Step, migrate
from fakedirty.qmp.client import Qmp
from series import assert_equal, pair, rounds

LOCKED = ("-overcommit", "mem-lock=on")
MEMORY_MIB = 256
WORKLOAD = Workload(fake=1500, changed=300, zero=300, aba=300, untouched=500, pause_ms=20, memory_mib=MEMORY_MIB)
CRAWL = 10_000  # bytes/s: a few pages at a time
ENTRY_BYTES = PAGE_BYTES + 9  # what an audit keeps of a page, its hash, and two bits
# the stack of the migration thread, which is locked, and huge pages that begin before what was visited
ROOM_BYTES = 64 << 20


@dataclass(frozen=True)
class Memory:
    """What a process has, in bytes."""

    resident: int
    locked: int


def memory_of(vm: Machine) -> Memory:
    """What QEMU has now."""
    status = Path(f"/proc/{vm.pid}/status").read_text()
    found = dict(re.findall(r"^(\w+):\s+(\d+) kB$", status, re.MULTILINE))
    return Memory(*(int(found[name]) * 1024 for name in ("VmRSS", "VmLck")))


def visited_pages(vm: Machine) -> int:
    """How many QEMU has counted so far; it counts when a time slice ends."""
    totals = vm.qmp.execute("query-migrate").get("fake-dirty") or {}
    return sum(totals.get(name, 0) for name in ("first", "changed", "fake"))


def test_of_a_table_there_is_what_was_visited_though_all_memory_is_locked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MALLOC_ARENA_MAX", "1")  # else each thread that begins has 64 MiB more locked
    looked: list[tuple[int, int, Memory]] = []

    with pair(WORKLOAD, LOCKED) as (source, destination):

        def look(qmp: Qmp) -> None:
            now, table = memory_of(source), qmp.execute("query-migrate")["fake-dirty"]["table-bytes"]
            looked.append((table, visited_pages(source), now))
            qmp.execute("migrate-set-parameters", {"max-bandwidth": UNLIMITED})

        before = memory_of(source)
        parameters = {"fake-dirty-mode": "skip", "fake-dirty-audit": True}
        settings = Settings(300, CRAWL, parameters=parameters)
        steps = [Step(look, after_seconds=0.5, ready=lambda: visited_pages(source) > 0)]
        outcome = migrate(source, destination, settings, time_limit=120, steps=steps)
        assert outcome.status == "completed"
        assert_equal(source, destination)
        history = rounds(source.qmp)
    ((table, visited, now),) = looked
    assert before.locked > MEMORY_MIB << 20
    assert table > MEMORY_MIB << 20
    assert visited > 0
    assert now.resident - before.resident < visited * ENTRY_BYTES + ROOM_BYTES < table / 2
    assert now.locked - before.locked < ROOM_BYTES
    assert outcome.final["fake-dirty"]["audited"] > 0
    assert sum(each["fake"] for each in history) > 0
