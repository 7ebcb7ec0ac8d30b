"""The probes of the levels `stock` and `usdt`: fake pages of a QEMU without the patch series.

The level stock probes QEMU's functions, the level usdt its trace events. Pages are hashed when they are queued. If the
guest writes a page after that and before it is sent, QEMU sends the new content, and the old one is compared. So the
share of fake pages is an estimate. Columns that these levels cannot count are None.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fakedirty.errors import QmpError, TargetError
from fakedirty.linux.process_memory import ProcessMemory
from fakedirty.model.enums import Level
from fakedirty.model.migration import ENDED
from fakedirty.observe.decode import blind_spots
from fakedirty.observe.decode.stock import PAGE_BITS
from fakedirty.observe.host import levels
from fakedirty.observe.host.elf import Binary
from fakedirty.observe.host.target import Target
from fakedirty.qmp.monitor import Address
from fakedirty.qmp.turn import TASK_SECONDS, turn
from fakedirty.qmp.validation import parsing_answers

from . import enum_names, packet_writes, usdt
from .attach_point import PlacedProbe, choose
from .buffer_sizes import DEFAULT, BufferSizes
from .ram_blocks import ram_blocks
from .tracer import ProbePlan

_log = logging.getLogger(__name__)

# in the order of their texts: a function is defined before it is used
FILES = (
    "multifd/state.c",
    "stock/state.c",
    "processes.c",
    *(f"stock/{name}.c" for name in ("page_hash", "page_records", "rounds", "sent_pages", "pages", "syncs", "states")),
    "stock/blind_spots.c",
    *(f"multifd/{name}.c" for name in ("channels", "blocks", "queue", "pages", "packets")),
)

CHUNK_PAGES = 496  # of probes/events.h
_OVERCOMMIT = 4  # memory of all guests, as a multiple of the host's
_FEWEST_CHUNKS = 1 << 18  # for half a tebibyte of guests; an unused chunk takes 16 bytes

KEPT = ("sent_pages", "queued_pages", "channels")  # maps whose entries belong to one migration

_SET_STATE = "migrate_set_state"
_STATES = "MigrationStatus_lookup"
_SYNC_CHANNELS = "multifd_send_sync_main"
_PACKET = "multifd_packet"
_QUEUE_ARGUMENTS = (1, 2, 3)
_STEPS = ("multifd_hashes", "multifd_pages")  # programs that _PACKET goes on to, in the order of the map `steps`

# Function of QEMU, program of ``probes/``, arguments that the program reads; in the order of attaching. The start of a
# migration comes last: if a migration begins before that is attached, it is found by its pages, and marked as partial.
_Entry = tuple[str, str, tuple[int, ...]]
_BYPASSES: tuple[_Entry, ...] = tuple(
    (symbol, f"bypass_{bit}", ()) for bit, (symbol, _why) in enumerate(blind_spots.BYPASSES)
)
_ZERO_TESTS: tuple[_Entry, ...] = tuple((symbol, "tested", (1, 2)) for symbol in levels.ZERO_TESTS)
FUNCTIONS: dict[Level, tuple[_Entry, ...]] = {
    Level.STOCK: (
        *_BYPASSES,
        (_SET_STATE, "state_set", (1, 2, 3)),
        ("memory_global_dirty_log_stop", "log_stopped", (1,)),
        ("memory_global_dirty_log_sync", "synced", ()),
        *_ZERO_TESTS,
        ("qemu_put_buffer_async", "queued", (2, 3)),
        ("memory_global_dirty_log_start", "log_started", (1,)),
    ),
    Level.USDT: (*_BYPASSES, *_ZERO_TESTS),
}

# trace events that have a handler in ``probes/stock/``: those attached before the functions, and those after them
TRACE_EVENTS = {
    Level.STOCK: ((_SET_STATE,), ()),
    Level.USDT: (
        (_SET_STATE, _SYNC_CHANNELS),
        ("ram_save_page", "migration_bitmap_sync_start"),
    ),
}


def placed(binary: Binary, memory: ProcessMemory, level: Level) -> list[PlacedProbe]:
    """The programs of a level and where each is attached, in the order of attaching.

    Functions and trace events that the executable does not have are left out.
    """
    writes = packet_writes.calls(binary)
    counted = {_SYNC_CHANNELS} if writes else set()  # this event marks pages of multifd as not counted
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
    """The functions where packets of channels are seen: pages that are queued for channels are then counted."""
    for name, program, arguments in functions:
        yield (name, name, _QUEUE_ARGUMENTS) if name == packet_writes.QUEUES else (name, program, arguments)


def chunks(meminfo: Path = Path("/proc/meminfo")) -> int:
    """How many chunks of pages there may be at once.

    They are enough for guests with several times the memory of the host, as guests can be sparse.
    """
    kibibytes = int(next(line for line in meminfo.read_text().splitlines() if line.startswith("MemTotal:")).split()[1])
    return max(_FEWEST_CHUNKS, _OVERCOMMIT * (kibibytes << 10 >> PAGE_BITS) // CHUNK_PAGES)


@dataclass(frozen=True, slots=True)
class StockProbes:
    """The probes of level stock or usdt for one QEMU."""

    target: Target
    level: Level
    monitors: Sequence[Address] = ()
    pages: bool = False
    sizes: BufferSizes = DEFAULT
    sample: int = 1

    @property
    def options(self) -> object:
        """The sample of pages, and the number of chunks."""
        return self.sample, self.sizes.chunks

    def plan(self, binary: Binary, memory: ProcessMemory) -> ProbePlan:
        """The plan by functions, or by trace events and functions."""
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
        return ProbePlan(FILES, probes, facts, tuple(defines.items()), KEPT, steps)

    def facts(self) -> Mapping[str, object]:
        """The RAM blocks, if page records are wanted."""
        return {"blocks": self._blocks() if self.pages else ()}

    def _blocks(self) -> list[tuple[str, int, int]]:
        """Name, address and length in bytes of each RAM block; empty if no monitor reports them."""
        for address in self.monitors:
            try:
                with turn([address], TASK_SECONDS) as qmp, parsing_answers(address):
                    blocks = ram_blocks(qmp, self.target.pid, self.target.proc)
                    return [(block.name, block.address, block.length) for block in blocks]
            except (QmpError, TargetError) as error:
                _log.warning("RAM blocks are not known, so page records have addresses in QEMU's memory: %s", error)
        return []
