"""Page records: decoded as they were packed, in bounded memory, and readable at any moment."""

from __future__ import annotations

from pathlib import Path

import fakedirty
import pytest
from fakedirty.cli.main import main
from fakedirty.model.enums import Disposition, PageClass
from fakedirty.model.sink import PageBatch
from fakedirty.observe.decode.wire import PAGE_RECORD
from fakedirty.record.columns import PAGES
from fakedirty.record.pages import RECORD, SCHEMA, PageDataset, pages_of
from fakedirty.record.recorder import Recorder
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_migrations import EVENTS, START, batch, made

PAGE = st.tuples(
    st.integers(0, 2**64 - 1), st.integers(0, 2**47 - 1), st.sampled_from(PageClass), st.sampled_from(Disposition)
)


def pack(pages: list[tuple[int, int, PageClass, Disposition]]) -> bytes:
    return b"".join(
        hash_.to_bytes(8, "little") + (page << 16 | class_ << 8 | disposition).to_bytes(8, "little")
        for hash_, page, class_, disposition in pages
    )


def test_the_record_is_that_of_the_wire() -> None:
    assert RECORD == PAGE_RECORD


def test_columns_are_those_of_the_dictionary() -> None:
    assert SCHEMA.names == [column.name for column in PAGES]
    frame = SCHEMA.empty_table().to_pandas()
    assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == {c.name: c.dtype for c in PAGES}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(st.lists(st.tuples(st.sampled_from(["pc.ram", "vga.vram", "ü"]), st.lists(PAGE, max_size=8)), max_size=6))
def test_what_was_packed_is_what_is_read(
    tmp_path: Path, batches: list[tuple[str, list[tuple[int, int, PageClass, Disposition]]]]
) -> None:
    directory = tmp_path / str(len(list(tmp_path.iterdir())))
    directory.mkdir()
    file = PageDataset(directory, file_pages=5)
    expected = []
    for number, (block, pages) in enumerate(batches):
        file.append(PageBatch(START + number, block, number, pack(pages)))
        expected += [(block, page, number, str(c), str(d), hash_, START + number) for hash_, page, c, d in pages]
    file.flush()
    if not expected:
        return
    dataset = pages_of(directory)
    assert dataset
    frame = dataset.to_table().to_pandas().sort_values("round", kind="stable")
    assert [tuple(row) for row in frame.itertuples(index=False)] == expected


def test_a_word_that_is_unknown_is_null(tmp_path: Path) -> None:
    file = PageDataset(tmp_path)
    file.append(PageBatch(1, "pc.ram", 1, (5).to_bytes(8, "little") + (7 << 16 | 9 << 8 | 200).to_bytes(8, "little")))
    file.flush()
    dataset = pages_of(tmp_path)
    assert dataset
    (row,) = dataset.to_table().to_pylist()
    assert (row["page"], row["class"], row["disposition"]) == (7, None, None)


def test_files_bound_what_is_in_memory_and_hold_one_round_each(tmp_path: Path) -> None:
    file = PageDataset(tmp_path, file_pages=1000)
    for number in range(10):
        file.append(batch(number * 250, 250))
        assert file._waiting < 1000
    file.append(batch(0, 250, round_=2))
    file.flush()
    names = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.parquet") if path.is_file())
    assert names == [f"pages.parquet/round={r}/{n:06}.parquet" for r, n in ((1, 0), (1, 1), (1, 2), (2, 3))]
    dataset = pages_of(tmp_path)
    assert dataset
    assert dataset.count_rows() == 2750


@pytest.mark.parametrize("finished", [True, False])
def test_pages_of_a_recording(tmp_path: Path, finished: bool) -> None:
    for vm in ("one", "two"):
        to, migration = Recorder(tmp_path, "run"), made(vm, f"{vm}-m")
        to.started(migration)
        for event in EVENTS:
            to.pages(migration, batch(0, 10, block=f"{vm}.ram"))
            migration.apply(event)
            to.changed(migration, event)
        if finished:
            to.ended(migration)
    pages = fakedirty.load(tmp_path).pages
    assert dict(pages.groupby("migration_id", observed=True).size()) == (
        {"one-m": 90, "two-m": 90} if finished else {"one-m": 70, "two-m": 70}
    )
    assert str(pages["block"].dtype) == "category"
    assert set(pages["block"]) == {"one.ram", "two.ram"}
    assert pages["hash"].max() == 2**64 - 1


@pytest.mark.parametrize("command", [["pages"], ["what-if"], ["runs", "export", "-", "--table", "pages"]])
def test_a_file_that_was_cut_off_is_named(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By a full disk or a copy that did not end: the writer itself leaves no such file."""
    to, migration = Recorder(tmp_path, "run"), made()
    to.started(migration)
    for event in EVENTS:
        to.pages(migration, batch(0, 10))
        migration.apply(event)
        to.changed(migration, event)
    to.ended(migration)
    file = min(tmp_path.rglob("*.parquet/*/*.parquet"))
    file.write_bytes(file.read_bytes()[:20])
    assert main([*command[:2], str(tmp_path), *command[2:]]) == 1
    text = capsys.readouterr().err
    assert "fakedirty: cannot read the page records of" in text
    assert file.name in text
    assert "Traceback" not in text
