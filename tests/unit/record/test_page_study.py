"""Page records, studied in blocks: the same as counted page by page."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from fakedirty.cli.main import main
from fakedirty.errors import RecordError
from fakedirty.model.enums import Disposition, PageClass
from fakedirty.model.sink import PageBatch
from fakedirty.record.page_study import HotPage, study
from fakedirty.record.pages import PageDataset
from fakedirty.record.recorder import Recorder
from fakedirty.show.ram_map import draw, text_rows
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_migrations import made

VISIT = st.tuples(
    st.sampled_from(["a", "pc.ram"]),
    st.integers(0, 5),
    st.sampled_from(PageClass),
    st.sampled_from([Disposition.NORMAL, Disposition.SKIPPED, Disposition.ZERO]),
    st.integers(0, 3),  # hash
)
Visits = list[tuple[str, int, PageClass, Disposition, int]]


def write(directory: Path, rounds: dict[int, Visits], file_pages: int = 4) -> None:
    dataset = PageDataset(directory, file_pages)
    for number, visits in rounds.items():
        for block, page, class_, disposition, hash_ in visits:
            record = np.array([(hash_, page << 16 | class_ << 8 | disposition)], "<u8,<u8")
            dataset.append(PageBatch(number, block, number, record.tobytes()))
    dataset.flush()


def longest_streaks(rounds: dict[int, Visits]) -> dict[tuple[str, int], int]:
    """One page after the other, one round after the other."""
    streak: dict[tuple[str, int], int] = defaultdict(int)
    longest: dict[tuple[str, int], int] = defaultdict(int)
    for visits in rounds.values():
        if not visits:
            continue
        classes = defaultdict(list)
        for block, page, class_, _disposition, _hash in visits:
            classes[block, page].append(class_)
        for at in {*streak, *classes}:
            seen = classes.get(at, [])
            streak[at] = streak[at] + 1 if seen and set(seen) == {PageClass.FAKE} else 0
            longest[at] = max(longest[at], streak[at])
    return longest


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.lists(st.lists(VISIT, max_size=12), min_size=1, max_size=5))
def test_what_is_counted_in_blocks_is_what_is_there(tmp_path: Path, visits: list[Visits]) -> None:
    directory = tmp_path / str(len(list(tmp_path.iterdir())))
    directory.mkdir()
    rounds = {number + 1: of_round for number, of_round in enumerate(visits)}
    write(directory, rounds)
    everything = [visit for of_round in visits for visit in of_round]
    if not everything:
        with pytest.raises(RecordError, match="no page records"):
            study(directory)
        return
    found = study(directory, hot=100, columns=3)
    for block in found.blocks:
        own = [visit for visit in everything if visit[0] == block.block]
        assert block.visits == len(own)
        assert block.pages == len({visit[1] for visit in own})
        assert block.fake == sum(visit[2] is PageClass.FAKE for visit in own)
        assert block.skipped == sum(visit[3] is Disposition.SKIPPED for visit in own)
    longest = longest_streaks(rounds)
    assert {(page.block, page.page): page.longest_streak for page in found.hot} == longest
    counts = Counter((visit[0], visit[1]) for visit in everything)
    assert {(page.block, page.page): page.visits for page in found.hot} == counts
    assert [page.visits for page in found.hot] == sorted(counts.values(), reverse=True)
    for k, pages in found.streaks.items():
        assert pages == sum(length >= k for length in longest.values())
    assert max(found.streaks, default=0) == max(longest.values())
    first = next(of_round for of_round in visits if of_round)
    sent = [visit[4] for visit in first if visit[3] is Disposition.NORMAL]
    assert found.duplicates.pages == len(sent)
    assert found.duplicates.distinct == len(set(sent))
    assert found.duplicates.equal == sum(sent.count(content) > 1 for content in sent)
    assert found.picture.rounds == [number for number, of_round in rounds.items() if of_round]
    assert found.picture.visits.sum() == len(everything)
    assert found.picture.fake.sum() == sum(block.fake for block in found.blocks)


def test_a_page_of_no_class_is_not_fake_and_ends_a_streak(tmp_path: Path) -> None:
    fake = ("pc.ram", 1, PageClass.FAKE, Disposition.NORMAL, 7)
    lost = ("pc.ram", 1, 255, Disposition.NORMAL, 7)
    write(tmp_path, {2: [fake], 3: [lost], 4: [fake]})  # type: ignore[list-item]
    assert study(tmp_path).hot == [HotPage("pc.ram", 1, visits=3, fake=2, longest_streak=1)]


def test_shades() -> None:
    visits, fake = np.array([[0, 8, 8, 1000, 8]]), np.array([[0, 0, 4, 1, 8]])
    [row] = text_rows(visits, fake)
    assert row == " .+:@"


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    to, migration = Recorder(tmp_path, "run"), made("web", "m")
    to.started(migration)
    for number in (1, 2, 3):
        class_ = PageClass.FIRST if number == 1 else PageClass.FAKE
        records = np.zeros(300, "<u8,<u8")
        records["f1"] = np.arange(300, dtype=np.uint64) << np.uint64(16) | np.uint64(class_ << 8)
        to.pages(migration, PageBatch(number, "pc.ram", number, records.tobytes()))
    to.ended(migration)
    return tmp_path


def test_the_command_says_it(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pages", str(recorded)]) == 0
    text = capsys.readouterr().out
    assert "300 in 2 or more" in text
    assert "of 300 pages sent in full in the first round, 300 (100.0%) have the same content" in text
    assert text.splitlines()[-1].split() == ["3", "@" * len(text.splitlines()[-1].split()[1])]
    assert main(["pages", str(recorded), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["blocks"][0]["fake"] == 600


def test_the_picture_is_drawn(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pages", str(recorded), "--picture", str(recorded / "ram.png")]) == 0
    assert (recorded / "ram.png").read_bytes().startswith(b"\x89PNG")
    assert main(["pages", str(recorded), "--picture", str(recorded / "ram.xyz")]) == 2
    assert "ram.xyz" in capsys.readouterr().err
    assert draw


def test_no_page_records_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    to, migration = Recorder(tmp_path, "run"), made("web", "m")
    to.started(migration)
    to.ended(migration)
    assert main(["pages", str(tmp_path)]) == 1
    assert "--pages" in capsys.readouterr().err
