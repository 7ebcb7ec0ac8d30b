"""How often a QEMU writes to its channel while it sends a guest once: the kernel counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from fakedirty.lab.bench import Bench
from fakedirty.lab.full_speed import LOCKED, one_pass, prepare, sink, take_mode
from fakedirty.lab.guest import build_guest
from fakedirty.lab.guest_workload import Workload
from fakedirty.observe import headers, uprobe
from fakedirty.observe.bpf import Bpf
from fakedirty.observe.elf import Binary

PASSES = 5
MOST_MORE = 1.02  # times as many as with the mode off, or without the series

ZEROS = Workload(fake=8, memory_mib=1280)  # nearly all of it was never touched
FULL = Workload(untouched=100_000, memory_mib=512)

COUNT = """
BPF_ARRAY(writes, u64, 1);

int on_sendmsg(void *context)
{
    writes.increment(0);
    return 0;
}
"""


@dataclass(frozen=True)
class Writes:
    """Of a pass: calls of sendmsg, and pages."""

    calls: int
    pages: int


def writes(qemu: Path, workload: Workload, modes: tuple[str | None, ...]) -> dict[str | None, int]:
    """For each mode, None where the QEMU has none, the median of some passes in turns. The first ones do not count."""
    found: dict[str | None, list[Writes]] = {mode: [] for mode in modes}
    bench = Bench(qemu, build_guest("baremetal"), workload, network=None, more=LOCKED, name="writes")
    with sink() as uri, bench.source() as source, _counting(source.pid) as count:
        prepare(source.qmp, running=False)
        for _ in range(PASSES + 1):
            for mode in modes:
                if mode is not None:
                    take_mode(source.qmp, mode)
                before = count()
                pages = one_pass(source, uri).pages
                found[mode].append(Writes(count() - before, pages))
    assert len({each.pages for passes in found.values() for each in passes}) == 1, found
    return {mode: round(median(each.calls for each in passes[1:])) for mode, passes in found.items()}


@contextmanager
def _counting(pid: int) -> Iterator[Callable[[], int]]:
    """What says how often a process has called sendmsg since."""
    maps = Path(f"/proc/{pid}/maps").read_text()
    library = next(Path(line.split()[-1]) for line in maps.splitlines() if line.endswith("/libc.so.6"))
    with Binary(library) as binary:
        symbol = binary.symbol("sendmsg")
        assert symbol
        offset = binary.offset(symbol.address)
    bpf = Bpf(("events.h",), headers.find(), {}, COUNT)
    try:
        attached = uprobe.attach(bpf.program("on_sendmsg"), library, offset, pid)
        try:
            yield lambda: int.from_bytes(bpf.map("writes").value(bytes(4)) or b"", "little")
        finally:
            uprobe.detach([attached])
    finally:
        bpf.close()
