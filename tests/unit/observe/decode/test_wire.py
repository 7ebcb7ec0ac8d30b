"""``probes/events.h``, compiled, against its Python side: sizes, offsets, numbers."""

from __future__ import annotations

import ctypes
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from compiler import gcc
from fakedirty.lab.qemu import releases
from fakedirty.observe.bpf import stock_probes
from fakedirty.observe.decode import blind_spots, wire
from fakedirty.package_files import carried

STRUCTS = {
    "round_record": wire.RoundRecord,
    "migration_round_record": wire.MigrationRoundRecord,
    "event_header": wire.EventHeader,
    "page_counts": wire.PageCounts,
    "round_event": wire.RoundEvent,
    "migration_round_event": wire.MigrationRoundEvent,
    "mode_event": wire.ModeEvent,
    "state_event": wire.StateEvent,
    "batch_event": wire.BatchEvent,
    "stock_counts": wire.StockCounts,
    "stock_event": wire.StockEvent,
    "runstate_event": wire.RunStateEvent,
    "switchover_event": wire.SwitchoverEvent,
    "process_head": wire.ProcessHead,
    "place": wire.Place,
    "chunk_key": wire.ChunkKey,
}
CONSTANTS = [
    *("BATCH_PAGES", "WORD_BYTES", "BLOCK_BYTES", "DEVICE_BYTES"),
    *("ROUND_CLASSIFIED", "ROUND_INEXACT", "ROUND_VERSION", "ROUND_VERSION_OF_DRAFTS"),
    *("EVENT_ROUND", "EVENT_MODE", "EVENT_STATE", "EVENT_BATCH"),
    *("EVENT_STOCK_STARTED", "EVENT_STOCK_ROUND", "EVENT_STOCK_STATE", "EVENT_STOCK_STOPPED"),
    *("EVENT_RUNSTATE", "EVENT_MIGRATION_ROUND"),
    *("EVENT_CHECKPOINT", "EVENT_DEVICE_SAVED", "EVENT_DEVICE_LOADED"),
    *("PLACES", "PLACES_TRIED"),
]
PIDS = (1, 2, 4711, 32767, 32768, 99_999, (1 << 22) - 1)  # the kernel's highest is the last


def field_names(struct: type[ctypes.Structure]) -> list[str]:
    return [entry[0] for entry in struct._fields_]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """What the C compiler says of everything that crosses the boundary."""
    questions = {f"sizeof {name}": f"sizeof(struct {name})" for name in [*STRUCTS, "page_record"]}
    for name, struct in STRUCTS.items():
        for field in field_names(struct):
            questions[f"{name}.{field}"] = f"offsetof(struct {name}, {field})"
            questions[f"sizeof {name}.{field}"] = f"sizeof(((struct {name} *)0)->{field})"
    for field in ("hash", "tag"):
        questions[f"page_record.{field}"] = f"offsetof(struct page_record, {field})"
    questions["records"] = "offsetof(struct batch_event, records)"
    questions |= {name: name for name in [*CONSTANTS, "LOST_PLACES", "LOST_LATE", "CHUNK_PAGES"]}
    for pid in PIDS:
        questions |= {f"place {pid} {n}": f"PLACE_OF((unsigned int){pid}, {n})" for n in range(wire.PLACES_TRIED)}
    prints = "\n".join(f'printf("%s=%lld\\n", "{key}", (long long)({value}));' for key, value in questions.items())
    source = f'#include <stdio.h>\n#include <stddef.h>\n#include "events.h"\nint main(void) {{ {prints} return 0; }}\n'
    directory = tmp_path_factory.mktemp("wire")
    (directory / "ask.c").write_text(source)
    include = carried("probes", "events.h").parent
    gcc(f"-I{include}", "-o", directory / "ask", directory / "ask.c")
    answers = subprocess.run([directory / "ask"], check=True, capture_output=True, text=True).stdout
    return {key: int(value) for key, value in (line.split("=") for line in answers.splitlines())}


@pytest.mark.parametrize("name", STRUCTS)
def test_struct_is_the_same_on_both_sides(compiled: dict[str, int], name: str) -> None:
    struct = STRUCTS[name]
    for field in field_names(struct):
        assert getattr(struct, field).offset == compiled[f"{name}.{field}"], field
        assert getattr(struct, field).size == compiled[f"sizeof {name}.{field}"], field
    if struct is not wire.BatchEvent:  # of which the records are left to numpy
        assert ctypes.sizeof(struct) == compiled[f"sizeof {name}"]


def test_events_that_destinations_send_have_the_process_id_at_one_place() -> None:
    assert wire.SwitchoverEvent.pid.offset == wire.RunStateEvent.pid.offset


def test_page_records(compiled: dict[str, int]) -> None:
    assert wire.PAGE_RECORD.itemsize == compiled["sizeof page_record"]
    fields = wire.PAGE_RECORD.fields
    assert fields is not None
    for field in ("hash", "tag"):
        assert fields[field][1] == compiled[f"page_record.{field}"]
    assert ctypes.sizeof(wire.BatchEvent) == compiled["records"]


def test_numbers(compiled: dict[str, int]) -> None:
    assert {name: getattr(wire, name) for name in CONSTANTS} == {name: compiled[name] for name in CONSTANTS}
    assert compiled["LOST_PLACES"] == len(wire.LOST_PLACES)
    assert compiled["LOST_LATE"] == wire.LOST_LATE
    assert compiled["CHUNK_PAGES"] == stock_probes.CHUNK_PAGES


def test_a_process_has_the_same_places_on_both_sides(compiled: dict[str, int]) -> None:
    for pid in PIDS:
        assert wire.places_of(pid) == [compiled[f"place {pid} {attempt}"] for attempt in range(wire.PLACES_TRIED)]


def test_processes_that_start_one_after_the_other_have_places_of_their_own() -> None:
    """As many as can be observed."""
    assert len({wire.places_of(pid)[0] for pid in range(50_000, 54_096)}) == 4096


@pytest.mark.parametrize(
    ("generation", "before", "over"),
    [
        *((1, 2, True), (2, 2, False), (3, 2, False), (1, 4, True)),
        *((65535, 65536, True), (0, 65536, False), (0, 65537, True), (65535, 65538, True), (1, 65537, False)),
    ],
)
def test_a_key_has_the_lower_bits_of_its_migration_s_number(generation: int, before: int, over: bool) -> None:
    assert wire.ChunkKey(generation=generation).is_before(before) is over


def test_a_chunk_fits_a_size_of_the_allocator(compiled: dict[str, int]) -> None:
    element, list_node = 56, 8  # struct htab_elem with its padding, and what the allocator puts before it
    assert element + list_node + compiled["sizeof chunk_key"] + 8 * stock_probes.CHUNK_PAGES <= 4096


def test_losses_of_an_older_trace_have_fewer_places() -> None:
    assert wire.unpack_losses(wire.pack_losses([1, 2, 3, 4])) == [1, 2, 3, 4, 0, 0]
    assert wire.unpack_losses(wire.pack_losses([1, 2, 3, 4, 5])) == [1, 2, 3, 4, 5, 0]
    assert wire.unpack_losses(wire.pack_losses([1, 2, 3, 4, 5, 6])) == [1, 2, 3, 4, 5, 6]


def test_every_bypass_has_its_program() -> None:
    programs = carried("probes", "stock", "blind_spots.c").read_text()
    assert all(f"\nBYPASS({bit})\n" in programs for bit in range(len(blind_spots.BYPASSES)))


def test_decode_knows_an_event_by_its_header() -> None:
    event = wire.StateEvent(wire.EventHeader(7, wire.EVENT_STATE, tid=3), b"active")
    decoded = wire.decode(bytes(event))
    assert isinstance(decoded, wire.StateEvent)
    assert (decoded.state, decoded.header.time_ns) == (b"active", 7)


def test_an_older_event_lacks_what_only_multifd_has() -> None:
    event = wire.StockEvent(wire.EventHeader(7, wire.EVENT_STOCK_ROUND), wire.StockCounts(round=2), queued_pages=5)
    older = bytes(event)[: wire.StockEvent.queued_pages.offset]
    decoded = wire.decode(older)
    assert isinstance(decoded, wire.StockEvent)
    assert (decoded.counts.round, decoded.queued_pages, decoded.end_ns) == (2, 0, 0)
    with pytest.raises(ValueError, match="size"):
        wire.decode(older[:-1])


def test_a_batch_may_be_shorter_than_the_struct_in_c(tmp_path: Path) -> None:
    records = np.array([(1, 2), (3, 4)], wire.PAGE_RECORD).tobytes()
    head = wire.BatchEvent(wire.EventHeader(1, wire.EVENT_BATCH, tid=1), 5, 2, b"pc.ram")
    decoded = wire.decode(bytes(head) + records)
    assert isinstance(decoded, wire.BatchEvent)
    assert (decoded.round, decoded.count, decoded.block) == (5, 2, b"pc.ram")


@pytest.mark.parametrize("release", releases())
def test_the_record_of_a_round_is_qemus_own(tmp_path: Path, release: str) -> None:
    """By the header that the series makes, patch by patch."""
    header = tmp_path / "migration" / "rounds.h"
    for patch in sorted(carried("qemu-patches", release).rglob("*.patch"), key=str):
        if b" b/migration/rounds.h" in patch.read_bytes():
            subprocess.run(["git", "apply", "--include=migration/rounds.h", patch], cwd=tmp_path, check=True)
    if not header.exists():
        pytest.skip("records of the series at hand have no version")
    text = header.read_text()
    struct = re.search(r"typedef struct MigrationRoundRecord \{.*?\} MigrationRoundRecord;", text, re.DOTALL)
    version = re.search(r"#define MIGRATION_ROUND_VERSION (\d+)", text)
    assert struct
    assert version
    assert int(version[1]) == wire.ROUND_VERSION
    known = [(name, getattr(wire.MigrationRoundRecord, name)) for name in field_names(wire.MigrationRoundRecord)]
    asserted = "\n".join(
        f"_Static_assert(offsetof(MigrationRoundRecord, {name}) == {field.offset}"
        f' && sizeof(((MigrationRoundRecord *)0)->{name}) == {field.size}, "{name}");'
        for name, field in known
    )
    source = tmp_path / "held.c"
    source.write_text(f"#include <stddef.h>\n#include <stdint.h>\n{struct[0]}\n{asserted}\n")
    gcc("-fsyntax-only", source)
