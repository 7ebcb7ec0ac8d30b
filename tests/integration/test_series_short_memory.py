"""No memory for the table of hashes: what asks for it fails with a message, and guest and migration go on."""

from __future__ import annotations

import resource
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from fakedirty.lab.guests.content import PAGE_BYTES, PAGE_WORDS, status_of
from fakedirty.lab.guests.serial_report import GuestReport
from fakedirty.lab.guests.workload import Workload
from fakedirty.lab.machine import Machine
from fakedirty.lab.migrate import PORT, Settings, Step, migrate
from fakedirty.observe.bpf.ram_blocks import ram_blocks
from fakedirty.qmp.client import Qmp, QmpRefusedError
from migrating import wait
from series import SLOW, TIGHT_MS, assert_equal, bench, let_through, rounds

# a table of 15 MiB, which the stacks of threads that end meanwhile have no room for
WORKLOAD = Workload(fake=1500, changed=300, zero=300, aba=300, pause_ms=2, memory_mib=3071)
HASH = "sha1"
ROOM_BYTES = 1 << 20  # for whatever else QEMU does meanwhile
REFUSED = "No memory for the hashes"
# else malloc() keeps what was large and is free, and finds room in the 64 MiB that it reserves for each thread
ALLOCATOR = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": str(1 << 17)}


@contextmanager
def short_of_memory(vm: Machine) -> Iterator[None]:
    """The process may not grow by more than the room that is given."""
    pages = int(Path(f"/proc/{vm.pid}/statm").read_text().split()[0])
    before = resource.prlimit(vm.pid, resource.RLIMIT_AS)
    limit = pages * resource.getpagesize() + ROOM_BYTES
    resource.prlimit(vm.pid, resource.RLIMIT_AS, (limit, before[1]))
    try:
        yield
    finally:
        resource.prlimit(vm.pid, resource.RLIMIT_AS, before)


class Sweeps:
    """How far the guest is, by its status page in QEMU's memory."""

    def __init__(self, vm: Machine, report: GuestReport) -> None:
        (ram,) = [block for block in ram_blocks(vm.qmp, vm.pid) if block.name == "pc.ram"]
        assert report.status_frame is not None
        self._address = ram.address + report.status_frame * PAGE_BYTES
        self._memory = Path(f"/proc/{vm.pid}/mem")

    def done(self) -> int:
        with self._memory.open("rb", buffering=0) as memory:
            memory.seek(self._address)
            page = np.frombuffer(memory.read(PAGE_BYTES), np.uint32).reshape(1, PAGE_WORDS)
        return status_of(page, 0).done

    def go_on(self) -> None:
        """Wait until another sweep is done."""
        before = self.done()
        wait(lambda: self.done() > before)


def refused(vm: Machine, sweeps: Sweeps, parameters: Mapping[str, object]) -> None:
    """A change that there is no memory for: nothing has changed, and the guest goes on."""
    before = vm.qmp.execute("query-migrate-parameters")
    with short_of_memory(vm), pytest.raises(QmpRefusedError, match=REFUSED):
        vm.qmp.execute("migrate-set-parameters", parameters)
    assert vm.qmp.execute("query-migrate-parameters") == before
    sweeps.go_on()


def test_what_asks_for_memory_fails_and_all_else_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ALLOCATOR.items():
        monkeypatch.setenv(name, value)
    reports: list[GuestReport] = []

    def ready(report: GuestReport) -> bool:
        reports.append(report)
        return report.ready

    with bench(WORKLOAD) as both, both.source(ready) as source, both.destination() as destination:
        sweeps = Sweeps(source, reports[-1])
        on = {"fake-dirty-mode": "skip", "fake-dirty-hash": HASH}
        source.qmp.execute("migrate-set-parameters", on)  # no migration: takes no memory
        with short_of_memory(source), pytest.raises(QmpRefusedError, match=REFUSED):
            source.qmp.execute("migrate", uri=f"tcp:{both.network.destination.address}:{PORT}")
        assert source.qmp.execute("query-migrate").get("status", "none") == "none"
        sweeps.go_on()

        source.qmp.execute("migrate-set-parameters", {"fake-dirty-mode": "off"})

        def short(qmp: Qmp) -> None:
            refused(source, sweeps, on)
            qmp.execute("migrate-set-parameters", on)  # memory is back
            refused(source, sweeps, {"fake-dirty-audit": True})
            refused(source, sweeps, {"fake-dirty-hash": "xxh3-128"})

        settings = Settings(TIGHT_MS, SLOW, parameters={"fake-dirty-switchover": False})
        steps = [Step(short, after_round=2), let_through(after_round=10)]
        outcome = migrate(source, destination, settings, time_limit=60, steps=steps)
        assert outcome.status == "completed"
        assert_equal(source, destination)
        history = rounds(source.qmp)
    assert {each["mode"] for each in history} == {"off", "skip"}
    assert {each["hash"] for each in history if each["mode"] == "skip"} == {HASH}
    assert sum(each["skipped"] for each in history) > 1000
    assert outcome.final["fake-dirty"]["audited"] == 0
