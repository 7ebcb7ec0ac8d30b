"""The map of RAM: what is counted on, file by file, is what a study of all page records comes to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fakedirty.cli.main import main
from fakedirty.errors import RecordError
from fakedirty.model.enums import PageClass
from fakedirty.record.page_study import study
from fakedirty.record.pages import PageDataset, pages_of
from fakedirty.record.recorder import Recorder
from fakedirty.web.ui import ram_map
from fakedirty.web.ui.ram_map import Picture, RamByRound
from made_migrations import EVENTS, batch, made

TRACE = Path(__file__).parents[2] / "traces" / "patched.trace"


def read(directory: Path, counts: RamByRound | None = None) -> Picture:
    found = (counts or RamByRound()).read(directory)
    assert found is not None
    return found


def test_it_is_what_the_study_finds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["replay", str(TRACE), "--out", str(tmp_path), "--json"])
    for directory in tmp_path.glob("*/*"):
        picture, studied = read(directory), study(directory, columns=1 << 20)
        assert [name for name, _, _ in picture.blocks] == [block.block for block in studied.blocks]
        assert picture.rounds_per_row == 1
        for row, number in enumerate(studied.picture.rounds):
            at = number - picture.first_round
            assert picture.visits[at].sum() == studied.picture.visits[row].sum()
            assert picture.fake[at].sum() == studied.picture.fake[row].sum()
        assert picture.visits.sum() == studied.picture.visits.sum(), "and no other row has any"
        for (_, column, _), after, block in zip(
            picture.blocks, [*(each[1] for each in picture.blocks[1:]), None], studied.blocks, strict=True
        ):
            assert picture.visits[:, column:after].sum() == block.visits
            assert picture.fake[:, column:after].sum() == block.fake


def test_neighbours_are_joined_until_it_fits(tmp_path: Path) -> None:
    """Against the same records counted at once, by page and round."""
    rounds, pages = 3 * ram_map.MOST_ROWS, 200 * ram_map.MOST_STRETCHES
    random = np.random.default_rng(1)
    counts = RamByRound()
    expected = {}
    for number in range(5, 5 + rounds, 7):
        data = PageDataset(tmp_path)
        for block, length in (("pc.ram", pages), ("vga", 5)):
            at = int(random.integers(0, length))
            page_class = PageClass(int(random.integers(0, 3)))
            data.append(batch(at, min(200, length - at), number, block, page_class=page_class))
            expected[number, block] = at, min(200, length - at), page_class
        data.flush()
    while (picture := read(tmp_path, counts)).files_left:
        pass
    assert picture.first_round == 5
    assert (picture.rounds_per_row, picture.stretch) == (4, 256)
    assert picture.visits.shape[0] <= ram_map.MOST_ROWS
    assert picture.visits.shape[1] <= ram_map.MOST_STRETCHES + len(picture.blocks)
    columns = {name: column for name, column, _ in picture.blocks}
    visits, fake = np.zeros_like(picture.visits), np.zeros_like(picture.fake)
    for (number, block), (at, count, page_class) in expected.items():
        for page in range(at, at + count):
            place = (number - 5) // picture.rounds_per_row, columns[block] + page // picture.stretch
            visits[place] += 1
            fake[place] += page_class is PageClass.FAKE
    assert (picture.visits == visits).all()
    assert (picture.fake == fake).all()


def test_it_goes_on_where_it_was_while_it_is_recorded_and_after(tmp_path: Path) -> None:
    migration, recorder, counts = made(), Recorder(tmp_path, "r"), RamByRound()
    recorder.started(migration)
    [directory] = recorder.busy
    assert counts.read(directory) is None
    for event in EVENTS:
        if number := getattr(getattr(event, "round", None), "round", 0):
            recorder.pages(migration, batch(0, 256, number, page_class=PageClass.FAKE))
        migration.apply(event)
        recorder.changed(migration, event)
        found = counts.read(directory)
        assert (0 if found is None else int(found.visits.sum())) == 256 * len(migration.rounds)
    recorder.ended(migration)
    [final] = recorder.directories
    picture = read(final, counts)
    assert picture.visits.sum() == 256 * len(migration.rounds), "under its final name nothing is counted twice"
    assert picture.plain()["shares"] == [[100] * 4] * 4


def test_a_share_is_in_percent_and_what_was_not_visited_has_none(tmp_path: Path) -> None:
    data = PageDataset(tmp_path)
    data.append(batch(0, 48, 1, page_class=PageClass.CHANGED))
    data.append(batch(48, 16, 1, page_class=PageClass.FAKE))
    data.append(batch(128, 1, 3, page_class=PageClass.CHANGED))
    data.flush()
    plain = read(tmp_path).plain()
    assert plain["shares"] == [[25, -1, -1], [-1, -1, -1], [-1, -1, 0]]
    assert plain["blocks"] == [{"name": "pc.ram", "column": 0, "pages": 129}]


def test_no_more_than_some_files_are_read_for_one_answer(tmp_path: Path) -> None:
    files = ram_map.FILES_AT_ONCE + 3
    for number in range(1, files + 1):
        data = PageDataset(tmp_path)
        data._files = number
        data.append(batch(0, 10, number))
        data.flush()
    counts = RamByRound()
    assert read(tmp_path, counts).files_left == 3
    picture = read(tmp_path, counts)
    assert (picture.files_left, picture.visits.sum()) == (0, 10 * files)


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    data = PageDataset(tmp_path)
    data.append(batch(0, 10))
    data.flush()
    assert pages_of(tmp_path) is not None
    [file] = tmp_path.rglob("0*.parquet")
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(RecordError, match="cannot read"):
        RamByRound().read(tmp_path)
