"""The levels `stock` and `usdt`: fake pages of a QEMU without the series, by its functions or its trace events.

Hashed when queued, not what is sent: a page that the guest writes in between is judged by its older
content, so the share of fake pages is an estimate. What cannot be seen from here is None.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path

from fakedirty.errors import QmpError, TargetError
from fakedirty.model.trace import TraceRecord
from fakedirty.model.words import Level
from fakedirty.qmp.client import Qmp

from . import bypass, final_report, headers, levels, names, usdt
from .attach import AttachPoint, choose
from .blocks import ram_blocks
from .bpf import Bpf
from .elf import Binary
from .heard import Losses, by_time
from .memory import ProcessMemory
from .probes import probe_file
from .sizes import DEFAULT, Sizes
from .stock_reader import PAGE_BITS
from .target import Target

_log = logging.getLogger(__name__)

_CHUNK_BITS = PAGE_BITS + 9
_SPARE_CHUNKS = 512  # for memory that is mapped after we came

_SET_STATE = "migrate_set_state"
_STATES = "MigrationStatus_lookup"

# function of QEMU, program of stock.c, arguments that the program reads; in the order of attaching. The start of a
# migration comes last: one that begins before it is found by its pages, and counted as joined late
_WAYS = tuple((symbol, f"bypass_{bit}", ()) for bit, (symbol, _why) in enumerate(bypass.BYPASSES))
_ZERO_TESTS = tuple((symbol, "tested", (1, 2)) for symbol in levels.ZERO_TESTS)
FUNCTIONS = {
    Level.STOCK: (
        *_WAYS,
        (_SET_STATE, "state_set", (1, 2, 3)),
        ("memory_global_dirty_log_stop", "log_stopped", (1,)),
        ("memory_global_dirty_log_sync", "synced", ()),
        *_ZERO_TESTS,
        ("qemu_put_buffer_async", "queued", (2, 3)),
        ("memory_global_dirty_log_start", "log_started", (1,)),
    ),
    Level.USDT: (*_WAYS, *_ZERO_TESTS),
}

# trace events that have a handler in stock.c, in the same order; those before the functions, and those after
TRACE_EVENTS = {
    Level.STOCK: ((_SET_STATE,), ()),
    Level.USDT: (
        (_SET_STATE, "multifd_send_sync_main"),
        ("migration_bitmap_sync_start", "ram_save_page", "global_dirty_changed"),
    ),
}


def attach_points(binary: Binary, memory: ProcessMemory, level: Level) -> list[tuple[str, AttachPoint]]:
    """Programs of ``stock.c`` and where in this QEMU each goes; functions that it lacks are left out."""
    placed = []
    for name, program, arguments in FUNCTIONS[level]:
        symbol = binary.symbol(name)
        by_trace_event = name in binary.usdt and any(name in events for events in TRACE_EVENTS[level])
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


class StockTracer:
    """The probes of ``probes/stock.c`` on one QEMU."""

    def __init__(
        self,
        target: Target,
        level: Level,
        qmp_paths: Sequence[Path] = (),
        *,
        pages: bool = False,
        sizes: Sizes = DEFAULT,
        sample: int = 1,
        probes: Path | None = None,
    ) -> None:
        self._target = target
        self._level = level
        self._qmp_paths = qmp_paths
        self._pages = pages
        self._sizes = sizes
        self._sample = sample
        self._file = probe_file("stock.c", probes)
        self._losses = Losses()
        self._bpf: Bpf | None = None

    def attach(self) -> Mapping[str, object]:
        """Compile, choose the instructions, attach."""
        target = self._target
        with Binary(target.exe) as binary:
            levels.demand(target, self._level, binary)
            memory = ProcessMemory(target.proc, target.pid, binary)
            facts = {
                "states": names.names(binary, memory, _STATES, "completed") if self._level is Level.STOCK else (),
                "sees_xbzrle": binary.symbol("cache_is_cached") is not None,
                "can_skip": "fake_dirty_round" in binary.usdt,
                "sample": self._sample,
                "blocks": self._blocks() if self._pages else (),
            }
            earlier, later = (
                usdt.programs(binary, [name for name in events if name in binary.usdt])
                for events in TRACE_EVENTS[self._level]
            )
            self._bpf = Bpf(self._file, headers.find(), self._defines(), usdt.text([*earlier, *later]))
            self._bpf.open_rings(["events", "pages"] if self._pages else ["events"])
            usdt.attach(self._bpf, binary, earlier, target)
            for program, point in attach_points(binary, memory, self._level):
                self._bpf.attach(program, target.exe, point.offset, target.pid)
            usdt.attach(self._bpf, binary, later, target)
        return facts

    def _defines(self) -> dict[str, int]:
        maps = (self._target.proc / str(self._target.pid) / "maps").read_text()
        return {
            "TGID": self._target.pid,
            "PAGES": int(self._pages),
            "PAGE_BITS": PAGE_BITS,
            "CHUNKS": chunks(maps) if self._sizes.chunks is None else self._sizes.chunks,
            "SEED": secrets.randbits(62),
            "SAMPLE": self._sample,
            **self._sizes.defines(),
        }

    def _blocks(self) -> list[tuple[str, int, int]]:
        """Name, address and length of the RAM blocks; none where no QMP socket says where they lie."""
        for path in self._qmp_paths:
            try:
                with Qmp.connect(path) as qmp:
                    blocks = ram_blocks(qmp, self._target.pid, self._target.proc)
                    return [(block.name, block.address, block.length) for block in blocks]
            except (QmpError, TargetError) as error:
                _log.warning("page records will name pages by their place in QEMU's memory: %s", error)
        return []

    def poll(self, timeout: float) -> list[TraceRecord]:
        """Losses first, so that the round they fall into carries them; then all else by time."""
        assert self._bpf is not None
        return [*self._losses.since(self._bpf), *by_time(self._bpf.poll(timeout))]

    def report(self, state: str) -> Mapping[str, object]:
        """By QMP."""
        return final_report.ask(self._qmp_paths, state)

    def close(self) -> None:
        """Detach."""
        if self._bpf is not None:
            self._bpf.close()
            self._bpf = None
