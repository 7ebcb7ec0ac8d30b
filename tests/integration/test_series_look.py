"""A look at what is dirty before a switchover ends by its bound, however many blocks of RAM there are.

QEMU's trace reports for each look how many pages of which block it took in. One command rewrites most of the blocks,
and QEMU syncs no bitmap meanwhile: all of them are dirty at a look, or none is.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle, pairwise
from pathlib import Path

import pytest
from fakedirty.lab.machine import Machine, machine
from fakedirty.lab.qemu import qemu_binary
from listener import drain, listening
from migrating import wait
from qtest import Qtest, qtest, qtest_arguments

BLOCKS = 100
BLOCK_BYTES = 2 << 20
CHANGED = 5  # blocks: sent in each round
PASS_PAGES = 64  # of each block, that a look would take in first
MOST_PAGES = 4096  # and of all of them together, beyond that
LOOKS = 5  # with all the others dirty
BANDWIDTH = 400_000_000  # bytes/s: without knowing any, QEMU would end where all was sent once, and look at nothing
EVENTS = ("migration_bitmap_sync_start", "fake_dirty_look")


def dimms() -> list[str]:
    """QEMU's options for a block of RAM in each slot."""
    words = ["-m", f"32M,slots={BLOCKS},maxmem=2G"]
    for number in range(BLOCKS):
        words += ["-object", f"memory-backend-ram,id=block{number},size={BLOCK_BYTES}"]
        words += ["-device", f"pc-dimm,memdev=block{number}"]
    return words


@contextmanager
def rewritten(memory: Qtest, address: int) -> Iterator[None]:
    """Rewrite all blocks from `address` on, again and again: the first ones with other content, the rest as it is."""
    stop = threading.Event()
    changed_bytes = CHANGED * BLOCK_BYTES

    def rewrite() -> None:
        for byte in cycle((0x5A, 0xA5)):
            if stop.is_set():
                return
            memory.fill(address, changed_bytes, byte)
            memory.fill(address + changed_bytes, (BLOCKS - CHANGED) * BLOCK_BYTES, 0xA5)

    thread = threading.Thread(target=rewrite)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def looks(vm: Machine) -> list[dict[str, int]]:
    """Pages that each look took in, by block, of looks at which the unchanged blocks were dirty.

    A look is what lies between two syncs.
    """
    found: list[dict[str, int]] = []
    for line in (vm.directory / "stderr.log").read_text().splitlines():
        if EVENTS[0] in line:
            found.append({})
        elif match := re.search(r"fake_dirty_look block (\S+) dirty \d+ sample (\d+) ", line):
            found[-1][match[1]] = int(match[2])
    others = {f"block{number}" for number in range(CHANGED, BLOCKS)}
    return [each for each in found if each.keys() & others]


@pytest.mark.parametrize("hash_name", ["xxh3-64", "md5"])
def test_a_look_at_many_blocks_is_bounded(hash_name: str, tmp_path: Path) -> None:
    place = tmp_path / "destination"
    traced = [word for event in EVENTS for word in ("-trace", event)]
    arguments = [*dimms(), *qtest_arguments(tmp_path / "qtest"), *traced, "-S"]
    with machine("many", qemu_binary(), arguments) as vm, qtest(tmp_path / "qtest") as memory:
        addresses = [each["data"]["addr"] for each in vm.qmp.execute("query-memory-devices")]
        assert len(addresses) == BLOCKS
        assert all(after - before == BLOCK_BYTES for before, after in pairwise(addresses))
        parameters = {"fake-dirty-mode": "skip", "fake-dirty-hash": hash_name, "avail-switchover-bandwidth": 1000}
        vm.qmp.execute("migrate-set-parameters", {**parameters, "max-bandwidth": BANDWIDTH})
        with listening(place, drain), rewritten(memory, addresses[0]):
            vm.qmp.execute("migrate", uri=f"unix:{place}")
            wait(lambda: len(looks(vm)) >= LOOKS)
            vm.qmp.execute("migrate_cancel")
            wait(lambda: vm.qmp.execute("query-migrate")["status"] == "cancelled")
        found = looks(vm)
    pages = [sum(each.values()) for each in found]
    assert max(pages) <= BLOCKS * PASS_PAGES + MOST_PAGES
    if hash_name == "md5":
        assert max(pages) < (BLOCKS - CHANGED) * PASS_PAGES, "so slow a hash has no time for all of them"
        assert len(set().union(*found)) > max(map(len, found)), "each look begins where another one did not"
