"""How often a process calls a function of the C library, or of its own: the kernel counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from fakedirty.linux import uprobe
from fakedirty.observe.bpf.program import Bpf
from fakedirty.observe.host import headers
from fakedirty.observe.host.elf import Binary

COUNT = """
#include <uapi/linux/ptrace.h>

BPF_ARRAY(calls, u64, 1);

int on_call(struct pt_regs *context)
{
    if (%s) {
        calls.increment(0);
    }
    return 0;
}
"""


@contextmanager
def counting(pid: int, function: str, condition: str = "1", file: str = "libc.so.6") -> Iterator[Callable[[], int]]:
    """What says how often it has been called since; `condition` is of BPF's C, and of the registers in `context`.

    `file` is the name of the library or executable that has the function.
    """
    maps = Path(f"/proc/{pid}/maps").read_text()
    library = next(Path(line.split()[-1]) for line in maps.splitlines() if line.endswith(f"/{file}"))
    with Binary(library) as binary:
        symbol = binary.symbol(function)
        assert symbol
        offset = binary.offset(symbol.address)
    bpf = Bpf(("events.h",), headers.find(), {}, COUNT % condition)
    try:
        attached = uprobe.attach(bpf.program("on_call"), library, offset, pid)
        try:
            yield lambda: int.from_bytes(bpf.map("calls").value(bytes(4)) or b"", "little")
        finally:
            uprobe.detach([attached])
    finally:
        bpf.close()
