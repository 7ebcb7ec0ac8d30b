"""The levels `stock` and `usdt`: fake pages of a QEMU without the series, by its functions or its trace events.

Hashed when queued, not what is sent: a page that the guest writes in between is judged by its older
content, so the share of fake pages is an estimate. What cannot be seen from here is None.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fakedirty.errors import QmpError, TargetError
from fakedirty.model.enums import Level
from fakedirty.model.migration import ENDED
from fakedirty.observe.decode.stock import PAGE_BITS
from fakedirty.observe.host import levels
from fakedirty.observe.host.elf import Binary
from fakedirty.observe.host.target import Target
from fakedirty.qmp.monitor import Address
from fakedirty.qmp.turn import TASK_SECONDS, turn
from fakedirty.qmp.validation import parsing_answers

from . import blind_spots, enum_names, packet_writes, usdt
from .attach_point import PlacedProbe, choose
from .buffer_sizes import DEFAULT, BufferSizes
from .process_memory import ProcessMemory
from .ram_blocks import ram_blocks
from .tracer import ProbePlan

_log = logging.getLogger(__name__)

CHUNK_PAGES = 496  # of probes/events.h
_OVERCOMMIT = 4  # memory of guests, in that of the host
_FEWEST_CHUNKS = 1 << 18  # half a tebibyte of guests; one that is not used takes 16 bytes

# maps of stock.c and multifd.c with what belongs to one migration
_KEPT = ("chunks", "queued_chunks", "channels")

_SET_STATE = "migrate_set_state"
_STATES = "MigrationStatus_lookup"
_SYNC_CHANNELS = "multifd_send_sync_main"
_PACKET = "multifd_packet"
_QUEUE_ARGUMENTS = (1, 2, 3)
_STEPS = ("multifd_hashes", "multifd_pages")  # that it goes on to, in the order of the map `steps`

# function of QEMU, program of stock.c or multifd.c, arguments that the program reads; in the order of attaching. The
# start of a migration comes last: one that begins before it is found by its pages, and counted as joined late
_Entry = tuple[str, str, tuple[int, ...]]
_WAYS: tuple[_Entry, ...] = tuple(
    (symbol, f"bypass_{bit}", ()) for bit, (symbol, _why) in enumerate(blind_spots.BYPASSES)
)
_ZERO_TESTS: tuple[_Entry, ...] = tuple((symbol, "tested", (1, 2)) for symbol in levels.ZERO_TESTS)
FUNCTIONS: dict[Level, tuple[_Entry, ...]] = {
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
        (_SET_STATE, _SYNC_CHANNELS),
        ("ram_save_page", "migration_bitmap_sync_start"),
    ),
}


def placed(binary: Binary, memory: ProcessMemory, level: Level) -> list[PlacedProbe]:
    """Programs of ``stock.c`` and where in this QEMU each goes; what it lacks is left out."""
    writes = packet_writes.calls(binary)
    counted = {_SYNC_CHANNELS} if writes else set()  # what shows of multifd that it cannot be counted
    earlier, later = (
        usdt.placed(binary, [name for name in events if name in binary.usdt and name not in counted])
        for events in TRACE_EVENTS[level]
    )
    by_trace_event = {entry.point.symbol for entry in (*earlier, *later)}
    channels = [PlacedProbe(_PACKET, point) for point in writes]
    functions = [
        PlacedProbe(program, choose(binary, symbol, arguments, memory.linked_pointer))
        for name, program, arguments in (_with_channels(FUNCTIONS[level]) if writes else FUNCTIONS[level])
        if name not in by_trace_event and (symbol := binary.symbol(name)) is not None
    ]
    return [*earlier, *channels, *functions, *later]


def _with_channels(functions: Sequence[_Entry]) -> Iterator[_Entry]:
    """The same where channels' packets are seen: a page that is queued for one is counted, and takes no way past."""
    for name, program, arguments in functions:
        yield (name, name, _QUEUE_ARGUMENTS) if name == packet_writes.QUEUES else (name, program, arguments)


def chunks(meminfo: Path = Path("/proc/meminfo")) -> int:
    """How many chunks of pages there may be at once: several times the memory of the host, as guests can be sparse."""
    kibibytes = int(next(line for line in meminfo.read_text().splitlines() if line.startswith("MemTotal:")).split()[1])
    return max(_FEWEST_CHUNKS, _OVERCOMMIT * (kibibytes << 10 >> PAGE_BITS) // CHUNK_PAGES)


@dataclass(frozen=True, slots=True)
class StockProbes:
    """The probes of ``probes/stock.c`` for one QEMU."""

    target: Target
    level: Level
    monitors: Sequence[Address] = ()
    pages: bool = False
    sizes: BufferSizes = DEFAULT
    sample: int = 1

    @property
    def options(self) -> object:
        """What is looked at, and how much can be remembered."""
        return self.sample, self.sizes.chunks

    def plan(self, binary: Binary, memory: ProcessMemory) -> ProbePlan:
        """By functions, or by trace events and functions."""
        states = enum_names.names(binary, memory, _STATES, "completed") if self.level is Level.STOCK else ()
        facts = {
            "states": states,
            "sees_xbzrle": binary.symbol("cache_is_cached") is not None,
            "can_skip": "fake_dirty_mode" in binary.usdt,
            "sample": self.sample,
        }
        defines = {
            "PAGE_BITS": PAGE_BITS,
            "CHUNKS": chunks() if self.sizes.chunks is None else self.sizes.chunks,
            "SAMPLE": self.sample,
            "ENDED": sum(1 << number for number, name in enumerate(states) if name in ENDED),
        }
        probes = tuple(placed(binary, memory, self.level))
        steps = _STEPS if any(each.program == _PACKET for each in probes) else ()
        return ProbePlan(("stock.c", "multifd.c"), probes, facts, tuple(defines.items()), _KEPT, steps)

    def facts(self) -> Mapping[str, object]:
        """Where its RAM blocks lie, for page records."""
        return {"blocks": self._blocks() if self.pages else ()}

    def _blocks(self) -> list[tuple[str, int, int]]:
        """Name, address and length of the RAM blocks; none where no monitor says where they lie."""
        for address in self.monitors:
            try:
                with turn([address], TASK_SECONDS) as qmp, parsing_answers(address):
                    blocks = ram_blocks(qmp, self.target.pid, self.target.proc)
                    return [(block.name, block.address, block.length) for block in blocks]
            except (QmpError, TargetError) as error:
                _log.warning("page records will name pages by their place in QEMU's memory: %s", error)
        return []
