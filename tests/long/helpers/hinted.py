"""Which pages of a guest were left to free-page hinting: hinted in a migration, and not visited any more after that.

The kernel records, in one order, every range that QEMU takes as hinted and every page that mode skip visits.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from fakedirty.lab.machine import Machine
from fakedirty.linux import uprobe
from fakedirty.observe.bpf.program import Bpf
from fakedirty.observe.bpf.ram_blocks import RamBlock, ram_blocks
from fakedirty.observe.host import headers
from fakedirty.observe.host.elf import Binary

PAGE = 4096
RING_PAGES = 4096  # all of a migration's events: they are read when it is over
HINTED, VISITED = 0, 1
EVENT = struct.Struct("<3Q")

RECORD = """
#include <uapi/linux/ptrace.h>
#define HOST_IN_BLOCK 24 /* of struct RAMBlock: an rcu_head and a pointer come before it */

struct event {
    u64 kind, address, bytes;
};
BPF_RINGBUF_OUTPUT(happened, %d);
BPF_ARRAY(lost, u64, 1);

static __always_inline int happens(u64 kind, u64 address, u64 bytes)
{
    struct event event = {kind, address, bytes};

    if (happened.ringbuf_output(&event, sizeof(event), BPF_RB_NO_WAKEUP))
        lost.increment(0);
    return 0;
}

/* void qemu_guest_free_page_hint(void *addr, size_t len) */
int on_hint(struct pt_regs *context)
{
    return happens(%d, PT_REGS_PARM1(context), PT_REGS_PARM2(context));
}

/* fake_dirty_visit(FakeDirtyRun *run, RAMBlock *rb, unsigned long page) */
int on_visit(struct pt_regs *context)
{
    u64 host = 0;

    bpf_probe_read_user(&host, sizeof(host), (void *)PT_REGS_PARM2(context) + HOST_IN_BLOCK);
    return happens(%d, host + PT_REGS_PARM3(context) * %d, %d);
}
""" % (RING_PAGES, HINTED, VISITED, PAGE, PAGE)  # noqa: UP031
PROBES = {"qemu_guest_free_page_hint": "on_hint", "fake_dirty_visit": "on_visit"}


@dataclass
class Left:
    """By block: pages that were `hinted` at all, and those of them that were `left`: no visit came after the hint."""

    hinted: dict[str, set[int]] = field(default_factory=dict)
    left: dict[str, set[int]] = field(default_factory=dict)
    visits: int = 0


@contextmanager
def recording(source: Machine) -> Iterator[Left]:
    """What is filled in when the block is left: a migration lies in it, and mode skip is on in all of that."""
    found = Left()
    executable = Path(f"/proc/{source.pid}/exe").resolve()
    with Binary(executable) as binary:
        offsets = {}
        for name, function in PROBES.items():
            symbol = binary.symbol(name)
            assert symbol, name
            offsets[function] = binary.offset(symbol.address)
    bpf = Bpf(("events.h",), headers.find(), {}, RECORD)
    try:
        bpf.open_rings(["happened"])
        attached = [
            uprobe.attach(bpf.program(function), executable, offset, source.pid) for function, offset in offsets.items()
        ]
        try:
            yield found
        finally:
            uprobe.detach(attached)
        assert bpf.map("lost").value(bytes(4)) == bytes(8), "the record is not complete"
        _read(found, bpf, ram_blocks(source.qmp, source.pid))
    finally:
        bpf.close()


def _read(found: Left, bpf: Bpf, blocks: list[RamBlock]) -> None:
    found.hinted = {block.name: set() for block in blocks}
    found.left = {block.name: set() for block in blocks}
    for event in bpf.take()["happened"]:
        kind, address, size = EVENT.unpack(event)
        (block,) = (block for block in blocks if block.address <= address < block.address + block.length)
        first = (address - block.address) // PAGE
        if kind == VISITED:
            found.visits += 1
            found.left[block.name].discard(first)
        else:
            pages = range(first, first + size // PAGE)
            found.hinted[block.name].update(pages)
            found.left[block.name].update(pages)
