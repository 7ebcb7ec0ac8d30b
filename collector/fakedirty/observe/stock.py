"""The level `stock`: fake pages of any QEMU that exports its functions.

Hashed when queued, not what is sent: a page that the guest writes in between is judged by its older
content, so the share of fake pages is an estimate. What cannot be seen from here is None.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from pathlib import Path

from fakedirty.model.words import Level

from . import bypass, final_report, headers, levels, states, usdt, wire
from .attach import AttachPoint, choose
from .bpf import Bpf, now_ns
from .elf import Binary
from .losses import Losses
from .memory import ProcessMemory
from .probes import probe_file
from .source import Observed
from .stock_reader import PAGE_BITS, StockReader
from .target import Target

_CHUNK_BITS = PAGE_BITS + 9
_SPARE_CHUNKS = 512  # for memory that is mapped after we came

_SET_STATE = "migrate_set_state"

# function of QEMU, program of stock.c, arguments that the program reads
ATTACHED = (
    ("qemu_put_buffer_async", "queued", (2, 3)),
    *((symbol, "tested", (1, 2)) for symbol in levels.ZERO_TESTS),
    ("memory_global_dirty_log_start", "log_started", (1,)),
    ("memory_global_dirty_log_sync", "synced", ()),
    ("memory_global_dirty_log_stop", "log_stopped", (1,)),
    (_SET_STATE, "state_set", (1, 2, 3)),
    *((symbol, f"bypass_{bit}", ()) for bit, (symbol, _why) in enumerate(bypass.BYPASSES)),
)


def attach_points(binary: Binary, memory: ProcessMemory) -> list[tuple[str, AttachPoint]]:
    """Programs of ``stock.c`` and where in this QEMU each goes; functions that it lacks are left out."""
    placed = []
    for name, program, arguments in ATTACHED:
        symbol = binary.symbol(name)
        by_trace_event = name == _SET_STATE and name in binary.usdt
        if symbol is not None and not by_trace_event:
            placed.append((program, choose(binary, symbol, arguments, memory.linked_pointer)))
    return placed


def chunks(maps: str) -> int:
    """How many chunks of pages a process's writable memory can have, by its ``/proc/PID/maps``."""
    total = _SPARE_CHUNKS
    for line in maps.splitlines():
        span, mode = line.split()[:2]
        if mode.startswith("rw"):
            start, end = (int(address, 16) for address in span.split("-"))
            total += (end - 1 >> _CHUNK_BITS) - (start >> _CHUNK_BITS) + 1
    return total


class StockSource:
    """The probes of ``probes/stock.c`` on one QEMU."""

    def __init__(self, target: Target, *, qmp_paths: Sequence[Path] = (), probes: Path | None = None) -> None:
        self._target = target
        self._qmp_paths = qmp_paths
        self._file = probe_file("stock.c", probes)
        self._losses = Losses()
        self._bpf: Bpf | None = None
        self._reader: StockReader | None = None

    def attach(self) -> None:
        """Compile, choose the instructions, attach."""
        target = self._target
        with Binary(target.exe) as binary:
            levels.demand(target, Level.STOCK, binary)
            memory = ProcessMemory(target.proc, target.pid, binary)
            self._reader = StockReader(
                states.names(binary, memory),
                sees_xbzrle=binary.symbol("cache_is_cached") is not None,
                can_skip="fake_dirty_round" in binary.usdt,
            )
            located = usdt.programs(binary, (_SET_STATE,) if _SET_STATE in binary.usdt else ())
            self._bpf = Bpf(self._file, headers.find(), self._defines(), usdt.text(located))
            self._bpf.open_rings(["events"])
            usdt.attach(self._bpf, binary, located, target)
            # pages last: a page seen before its migration's state could be followed would look half a migration
            for program, point in reversed(attach_points(binary, memory)):
                self._bpf.attach(program, target.exe, point.offset, target.pid)

    def _defines(self) -> dict[str, int]:
        maps = (self._target.proc / str(self._target.pid) / "maps").read_text()
        return {
            "TGID": self._target.pid,
            "PAGE_BITS": PAGE_BITS,
            "CHUNKS": chunks(maps),
            "SEED": secrets.randbits(62),
        }

    def poll(self, timeout: float) -> list[Observed]:
        """Losses first, so that the round they fall into carries them."""
        assert self._bpf is not None
        assert self._reader is not None
        taken = self._bpf.poll(timeout)
        observed: list[Observed] = list(self._losses.since(self._bpf.counters("lost"), now_ns()))
        for raw in taken["events"]:
            event = wire.decode(raw)
            assert isinstance(event, wire.StockEvent)
            observed.extend(self._reader.take(event))
        if self._reader.overdue(now_ns()):
            info = final_report.ask(self._qmp_paths, "completed")
            observed.extend(self._reader.end(str(info.get("status", "unknown"))))
        return observed

    def close(self) -> None:
        """Detach."""
        if self._bpf is not None:
            self._bpf.close()
            self._bpf = None
