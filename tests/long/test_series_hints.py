"""Skipping beside free-page hinting: a Linux guest hints its free pages, and every other page is equal afterwards.

A hinted page that is not written again is not sent: it may differ. Those pages are known one by one. A kernel that
clears what it frees shows that they hold nothing; one that clears what it allocates, Debian's default, writes a page
just before it hints it, so that the next sync makes it dirty again: all of them are sent, and nothing is left out.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import pytest
from fakedirty.lab.guests.recipes import build_guest
from fakedirty.lab.guests.serial_report import GuestReport
from fakedirty.lab.guests.workload import Workload, linux_words
from fakedirty.lab.machine import Machine
from fakedirty.lab.migrate import Settings, migrate
from fakedirty.lab.network import shaped_network
from fakedirty.lab.qemu import qemu_binary
from fakedirty.lab.rig import Rig, compared
from fakedirty.observe.bpf.ram_blocks import ram_blocks
from hinted import PAGE, recording
from series import let_through, rounds

WORKLOAD = Workload(fake=2000, changed=400, zero=400, aba=400, untouched=500, pause_ms=5, memory_mib=256)
BALLOON = ("-object", "iothread,id=hints", "-device", "virtio-balloon-pci,free-page-hint=on,iothread=hints")
BANDWIDTH = 8_000_000
LEAST_MS = 1
RAM = "pc.ram"


KEPT, CLEARED, WRITTEN = "init_on_alloc=0", "init_on_alloc=0 init_on_free=1", "init_on_alloc=1"


@pytest.mark.parametrize("kernel", [KEPT, CLEARED, WRITTEN])
def test_all_but_hinted_pages_are_equal(kernel: str) -> None:
    parameters = {"fake-dirty-mode": "skip", "fake-dirty-switchover": False, "fake-dirty-audit": True}
    settings = Settings(LEAST_MS, BANDWIDTH, parameters=parameters)
    reports: list[GuestReport] = []

    def ready(report: GuestReport) -> bool:
        reports.append(report)
        return report.ready

    with ExitStack() as stack:
        network = stack.enter_context(shaped_network())
        words = linux_words(WORKLOAD).replace(" -- ", f" {kernel} -- ", 1)
        more = (*BALLOON, "-append", words)
        bench = Rig(qemu_binary(), build_guest("linux"), WORKLOAD, network, more=more, name="hints")
        source = stack.enter_context(bench.source(ready))
        destination = stack.enter_context(bench.destination())
        with recording(source) as record:
            outcome = migrate(source, destination, settings, time_limit=240, steps=[let_through(after_round=8)])
        assert outcome.status == "completed"
        report = compared(source, destination)
        history = rounds(source.qmp)
        left = sorted(record.left[RAM])
        holding = [page for page, content in contents(source, left) if any(content)]
    hinted = sum(each["hinted"] for each in history)
    print(
        f"{report.pages:,} pages; hinted in the record {len(record.hinted[RAM]):,}, in the history {hinted:,}; "
        f"left out {len(left):,}, of which hold something {len(holding):,} and differ {len(report.differing):,}; "
        f"skipped {sum(each['skipped'] for each in history):,} in {len(history)} rounds"
    )
    assert hinted > 0
    assert record.visits == sum(each["visited"] for each in history)
    assert {(page.block, page.page) for page in report.differing} <= {(RAM, page) for page in left}
    assert bool(left) is (kernel != WRITTEN)
    assert not holding or kernel == KEPT, "they hold nothing"
    in_sets = {int(frame) for frames in reports[-1].sets.values() for frame in frames}
    assert len(in_sets) == sum(WORKLOAD.counts.values())
    assert in_sets.isdisjoint(record.hinted[RAM]), "each page of the guest's sets was compared"
    assert sum(each["skipped"] for each in history) > WORKLOAD.fake
    assert outcome.final["fake-dirty"]["false-equal"] == 0


def contents(vm: Machine, pages: Sequence[int]) -> Iterator[tuple[int, bytes]]:
    """Some pages of the guest's RAM."""
    (ram,) = (block for block in ram_blocks(vm.qmp, vm.pid) if block.name == RAM)
    with open(f"/proc/{vm.pid}/mem", "rb", buffering=0) as memory:
        for page in pages:
            yield page, os.pread(memory.fileno(), PAGE, ram.address + page * PAGE)
