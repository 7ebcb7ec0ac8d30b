"""The level `stock`: fake pages of any QEMU that exports its functions.

Hashed when queued, not what is sent: a page that the guest writes in between is judged by its older
content, so the share of fake pages is an estimate. What cannot be seen from here is None.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fakedirty.model.events import Event, MigrationStarted, RoundEnded, StateChanged
from fakedirty.model.migration import ENDED
from fakedirty.model.round import CLASSES, Round
from fakedirty.model.words import Kind, Level

from . import bypass, final_report, headers, levels, states, usdt, wire
from .attach import AttachPoint, choose
from .bpf import Bpf, now_ns
from .elf import Binary
from .losses import Losses
from .memory import ProcessMemory
from .probes import probe_file
from .source import Observed
from .target import Target

PAGE_BITS = 12  # of every target whose executable the stock level accepts; the probe counts other sizes
_CHUNK_BITS = PAGE_BITS + 9
_SPARE_CHUNKS = 512  # for memory that is mapped after we came

_SET_STATE = "migrate_set_state"
_END_SECONDS = 0.5  # between the last page and the last state

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

_LATE = "the observer came in the middle of this round"


class StockReader:
    """Pure: events of the wire in, events of the model out."""

    def __init__(self, state_names: tuple[str, ...], *, sees_xbzrle: bool, can_skip: bool) -> None:
        self._states = state_names
        self._sees_xbzrle = sees_xbzrle
        self._can_skip = can_skip
        self._running = False
        self._partial = False
        self._late = False
        self._start_ns = 0
        self._postcopy = False
        self._stopped: wire.StockEvent | None = None

    def take(self, event: wire.StockEvent) -> Iterator[Event]:
        """The events of the model that one event of the wire stands for."""
        time_ns = int(event.header.time_ns)
        if event.header.kind == wire.EVENT_STOCK_STARTED:
            self._running, self._postcopy = True, False
            self._partial = self._late = bool(event.partial)
            self._start_ns, self._stopped = time_ns, None
            yield MigrationStarted(time_ns, self._partial)
        elif not self._running:
            return
        elif event.header.kind == wire.EVENT_STOCK_ROUND:
            bulk = event.counts.round == 1 and not self._partial
            yield self._round(event, Kind.BULK if bulk else Kind.ITERATIVE)
        elif event.header.kind == wire.EVENT_STOCK_STOPPED:
            self._stopped = event
        else:
            known = event.state < len(self._states)
            name = event.name.decode() or (self._states[event.state] if known else f"state-{event.state}")
            yield from self._state(event, name)

    def overdue(self, now_ns: int) -> bool:
        """Whether pages have stopped for so long that the last state must have passed unseen."""
        since = self._stopped.header.time_ns if self._stopped and self._running else None
        return since is not None and now_ns - since > _END_SECONDS * 1e9

    def end(self, state: str) -> Iterator[Event]:
        """The migration whose pages have stopped is in this state, as another source says."""
        assert self._stopped is not None
        yield from self._state(self._stopped, state)
        self._running = False

    def _state(self, event: wire.StockEvent, state: str) -> Iterator[Event]:
        self._postcopy = self._postcopy or state.startswith("postcopy")
        if state in ENDED:
            self._running = False
            if event.counts.round:
                # which sync was the last stage's is known only now: no round follows it
                yield self._round(event, Kind.SWITCHOVER if state == "completed" else Kind.ITERATIVE)
        yield StateChanged(int(event.header.time_ns), state)

    def _round(self, event: wire.StockEvent, kind: Kind) -> RoundEnded:
        counts, time_ns = event.counts, int(event.header.time_ns)
        blind = self._blind(counts, kind)
        incomplete = self._partial and counts.first_pages and not self._late
        flaws = [
            _LATE if self._late else "",
            blind,
            f"{counts.first_pages} pages may have been sent before the observer came" if incomplete else "",
        ]
        self._late = False
        classes: dict[str, Any] = {column: None if blind else int(getattr(counts, column)) for column in CLASSES}
        visited = None if blind else int(counts.normal_pages + counts.zero_pages)
        unsent = None if blind or not self._sees_xbzrle else 0
        ended = Round(
            round=counts.round,
            kind=kind,
            mode=None,
            hash=None,
            start_seconds=(counts.start_ns - self._start_ns) / 1e9,
            duration_seconds=(time_ns - counts.start_ns) / 1e9,
            visited_pages=visited,
            **classes,
            zero_pages=None if blind else int(counts.zero_pages),
            normal_pages=None if blind else int(counts.normal_pages),
            xbzrle_pages=unsent,
            unchanged_pages=unsent,
            skipped_pages=None if blind or self._can_skip else 0,
            forced_syncs=counts.forced_syncs,
        )
        return RoundEnded(time_ns, ended, flaw="; ".join(flaw for flaw in flaws if flaw))

    def _blind(self, counts: wire.StockCounts, kind: Kind) -> str:
        """Why the pages of a round cannot be counted from here; empty when they can."""
        why = [bypass.reasons(counts.bypassed)]
        if self._postcopy:
            why.append("postcopy sends pages from two threads")
        if counts.odd_buffers:
            why.append(f"{counts.odd_buffers} buffers were not one page of {1 << PAGE_BITS} bytes")
        if kind is Kind.BULK and not any(why) and not counts.normal_pages + counts.zero_pages:
            why.append("no page of all RAM passed the probes (RDMA, or another way of sending)")
        return "; ".join(reason for reason in why if reason)


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

    def __init__(self, target: Target, *, qmp_path: Path | None = None, probes: Path | None = None) -> None:
        self._target = target
        self._qmp_path = qmp_path
        self._file = probe_file("stock.c", probes)
        self._losses = Losses()
        self._bpf: Bpf | None = None
        self._reader: StockReader | None = None

    def attach(self) -> None:
        """Compile, choose the instructions, attach."""
        target = self._target
        binary = Binary(target.exe)
        levels.demand(target, Level.STOCK, binary)
        memory = ProcessMemory(target.proc, target.pid, binary)
        self._reader = StockReader(
            states.names(binary, memory),
            sees_xbzrle=binary.symbol("cache_is_cached") is not None,
            can_skip="fake_dirty_round" in binary.usdt,
        )
        defines = {
            "TGID": target.pid,
            "PAGE_BITS": PAGE_BITS,
            "CHUNKS": chunks((target.proc / str(target.pid) / "maps").read_text()),
            "SEED": secrets.randbits(62),
        }
        located = usdt.programs(binary, (_SET_STATE,) if _SET_STATE in binary.usdt else ())
        self._bpf = Bpf(self._file, headers.find(), defines, usdt.text(located))
        self._bpf.open_rings(["events"])
        usdt.attach(self._bpf, binary, located, target)
        placed = attach_points(binary, memory)
        # pages last: a page seen before its migration's state could be followed would look half a migration
        for program, point in reversed(placed):
            self._bpf.attach(program, target.exe, point.offset, target.pid)
        binary.close()

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
            info = final_report.ask(self._qmp_path, "completed")
            observed.extend(self._reader.end(str(info.get("status", "unknown"))))
        return observed

    def close(self) -> None:
        """Detach."""
        if self._bpf is not None:
            self._bpf.close()
            self._bpf = None
