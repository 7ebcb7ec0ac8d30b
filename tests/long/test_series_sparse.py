"""A guest of 1 TiB that has hardly any memory: its tables of hashes are there at once, and take what was visited.

QEMU allocates a table in its main thread. QMP is asked all the while, as it is first with no migration, and then
during one with the mode off: what the machine, and what a migration of so much memory takes anyway is no delay of the
tables.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from answering import asking
from fakedirty.lab.cleanup_retry import once_cleaned_up
from fakedirty.lab.machine import Machine, machine
from fakedirty.lab.qemu import qemu_binary
from fakedirty.qmp.client import QmpRefusedError
from listener import drain, listening
from migrating import wait

TEBIBYTE = 1 << 40
PAGES = TEBIBYTE // 4096
BACKEND = f"memory-backend-ram,id=ram,size={TEBIBYTE},reserve=off"
ARGUMENTS = ["-machine", "none,memory-backend=ram", "-m", "1T", "-object", BACKEND]
SPAN_SECONDS = 3.0  # a span to measure in, nothing that is waited for
BANDWIDTH = 1_000_000  # bytes/s: some hundred thousand zero pages a second
VISITED = 200_000
# what is written of a table for a page: its digest, and a bit and a half
ENTRY_BYTES = {"xxh3-64": 8.5, "xxh3-128": 16.5}
# huge pages that begin before what was visited, and end after it; copies, buffers, stacks
ROOM_BYTES = 32 << 20
MIB = 1 << 20


@dataclass(frozen=True)
class Taken:
    """What QEMU had resident, and then how many pages it had visited."""

    resident: int
    visited: int


def taken(vm: Machine) -> Taken:
    """Both now."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{vm.pid}/status").read_text())
    assert found
    ram = vm.qmp.execute("query-migrate").get("ram", {})
    return Taken(int(found[1]) * 1024, ram.get("duplicate", 0) + ram.get("normal", 0))


def change(vm: Machine, **parameters: object) -> None:
    """Set parameters, underscores standing for dashes."""
    vm.qmp.execute("migrate-set-parameters", {name.replace("_", "-"): value for name, value in parameters.items()})


def await_more(vm: Machine) -> Taken:
    """What is taken once so many more pages were visited."""
    before = taken(vm).visited
    wait(lambda: taken(vm).visited >= before + VISITED)
    return taken(vm)


@contextmanager
def migrating(vm: Machine, path: Path) -> Iterator[None]:
    """A migration that is cancelled at the end."""
    with listening(path, drain):
        once_cleaned_up(lambda: vm.qmp.execute("migrate", uri=f"unix:{path}"))
        yield
        vm.qmp.execute("migrate_cancel")
        wait(lambda: vm.qmp.execute("query-migrate")["status"] == "cancelled")


def ask_for_copies(vm: Machine) -> str:
    """An audit takes as much memory as the guest has: the kernel may have it to give, or QEMU says that it has not."""
    try:
        change(vm, fake_dirty_audit=True)
    except QmpRefusedError as error:
        return str(error.reason)
    change(vm, fake_dirty_audit=False)
    return ""


def check_table(vm: Machine, without: int, hash_name: str, **toggle: object) -> str:
    """After a toggle there is a table for all pages, and only as much of it as has been visited since."""
    before = taken(vm).visited
    change(vm, **toggle)
    now = await_more(vm)
    table = vm.qmp.execute("query-migrate")["fake-dirty"]["table-bytes"]
    assert table > PAGES * (ENTRY_BYTES[hash_name] - 0.5)
    grown, visited = now.resident - without, now.visited - before
    assert grown < visited * ENTRY_BYTES[hash_name] + ROOM_BYTES < table / 8
    return f"{hash_name}: {table / MIB:,.0f} MiB, of which {grown / MIB:,.0f} with {visited:,} pages visited"


def test_tables_for_a_tebibyte_are_there_at_once_and_take_what_was_visited(tmp_path: Path) -> None:
    with machine("sparse", qemu_binary(), ARGUMENTS) as vm:
        change(vm, max_bandwidth=BANDWIDTH)
        with asking(vm.observer_socket) as idle:
            time.sleep(SPAN_SECONDS)
        with asking(vm.observer_socket) as off, migrating(vm, tmp_path / "off"):
            without = await_more(vm).resident
        with asking(vm.observer_socket) as on:
            change(vm, fake_dirty_mode="skip")
            with migrating(vm, tmp_path / "on"):
                tables = [
                    check_table(vm, without, "xxh3-64"),
                    check_table(vm, without, "xxh3-128", fake_dirty_hash="xxh3-128"),
                    check_table(vm, without, "xxh3-128", fake_dirty_mode="observe"),
                ]
                change(vm, fake_dirty_mode="off")
                await_more(vm)
                tables.append(check_table(vm, without, "xxh3-64", fake_dirty_mode="skip", fake_dirty_hash="xxh3-64"))
                assert re.match("No memory for the hashes and copies|$", ask_for_copies(vm))
                await_more(vm)
        vm.check_alive()
    print("\n".join(tables))
    print(f"longest answers: {on}; with the mode off: {off}; with no migration: {idle}")
