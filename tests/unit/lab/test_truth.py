"""The judge of page records: it judges migrations on paper right, and finds each wrong class."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from fakedirty.lab.guests.content import CELLS
from fakedirty.lab.guests.page_frames import FrameNumbers
from fakedirty.lab.guests.workload import SETS
from fakedirty.lab.truth import ClassScore, PageRecords, judge, switchover_rounds
from fakedirty.model.enums import Disposition, PageClass

PER_SET = 20
BATCH = 8
TRUE_SETS = {name: np.arange(100 * (i + 1), 100 * (i + 1) + PER_SET) for i, name in enumerate(SETS)}
PAGES = np.concatenate(list(TRUE_SETS.values()))
SET_OF = {int(page): name for name, pages in TRUE_SETS.items() for page in pages}


class Played:
    """A migration on paper: a guest that sweeps in steady time, a QEMU that visits in steady time."""

    def __init__(self, sweep_ns: int, visit_ns: int, rounds: int, forget_at: int = 0, phase: float = 0) -> None:
        self.sweep_ns = sweep_ns
        self.now = int((10 + phase) * sweep_ns)
        self.sent: dict[int, int] = {}
        self.rows: list[tuple[int, int, int, int, int]] = []
        dirty = sorted(SET_OF)
        for number in range(1, rounds + 1):
            synced = self.now
            for page in dirty:
                self.now += visit_ns
                self._visit(page, number)
            if number == forget_at:
                self.sent.clear()
            dirty = [page for page in sorted(SET_OF) if self._dirtied(page, synced)]

    def writes(self, page: int, time_ns: int) -> int:
        """The last sweep that has written `page` by `time_ns`."""
        order = sorted(SET_OF).index(page) / len(SET_OF)
        return int(time_ns / self.sweep_ns - order)

    def content(self, page: int, time_ns: int) -> int:
        return int(CELLS[SET_OF[page]](np.array([page]), self.writes(page, time_ns))[0])

    def _dirtied(self, page: int, synced: int) -> bool:
        return SET_OF[page] != "untouched" and self.writes(page, self.now) > self.writes(page, synced)

    def _visit(self, page: int, number: int) -> None:
        content = self.content(page, self.now)
        before = self.sent.get(page)
        kind = PageClass.FIRST if before is None else PageClass.FAKE if before == content else PageClass.CHANGED
        zero = SET_OF[page] == "zero" and not content
        self.rows.append((page, kind, Disposition.ZERO if zero else Disposition.NORMAL, number, self.now))
        self.sent[page] = content

    @property
    def records(self) -> PageRecords:
        columns = np.array(self.rows, np.int64).T
        times = columns[4]
        closes = np.minimum((np.arange(len(times)) // BATCH + 1) * BATCH, len(times)) - 1
        return PageRecords(columns[0], columns[1], columns[2], columns[3], times[closes])


def judged(played: Played, records: PageRecords | None = None, **rounds: object) -> ClassScore:
    seconds = played.sweep_ns / 1e9
    return judge(TRUE_SETS, records or played.records, sweep_seconds=seconds, **rounds)  # type: ignore[arg-type]


def with_class(records: PageRecords, index: int, page_class: PageClass) -> PageRecords:
    classes = records.page_class.copy()
    classes[index] = page_class
    return dataclasses.replace(records, page_class=classes)


def visits(records: PageRecords, frames: FrameNumbers) -> list[int]:
    return [int(index) for index in np.flatnonzero(np.isin(records.page, frames))]


@pytest.mark.parametrize("visit_ns", [100, 3_000, 20_000, 50_000, 300_000])
@pytest.mark.parametrize("sweep_ns", [100_000, 1_000_000])
@pytest.mark.parametrize("phase", [0, 0.25, 0.7])
def test_a_true_migration_is_judged_right_at_any_pace(visit_ns: int, sweep_ns: int, phase: float) -> None:
    played = Played(sweep_ns, visit_ns, rounds=6, phase=phase)
    score = judged(played)
    assert score.wrong == 0
    assert score.right_share == 1
    assert sum(of_set.visits for of_set in score.sets.values()) == len(played.records)
    assert {of_set.unvisited for of_set in score.sets.values()} == {0}


def test_in_long_rounds_every_class_but_zero_and_aba_is_known() -> None:
    score = judged(Played(100_000, 20_000, rounds=4))
    assert [score.sets[name].undecided for name in ("fake", "changed", "untouched")] == [0, 0, 0]
    assert score.sets["aba"].undecided == score.sets["aba"].visits - PER_SET


def test_in_short_rounds_a_changed_page_may_be_fake() -> None:
    played = Played(1_000_000, 3_000, rounds=8, phase=0.25)
    records = played.records
    assert any(records.page_class[index] == PageClass.FAKE for index in visits(records, TRUE_SETS["changed"]))
    assert judged(played).sets["changed"].undecided


@pytest.mark.parametrize(
    ("name", "visit", "claimed"),
    [
        ("fake", -1, PageClass.CHANGED),
        ("fake", -1, PageClass.FIRST),
        ("fake", 0, PageClass.FAKE),
        ("changed", -1, PageClass.FAKE),
        ("changed", -1, PageClass.FIRST),
        ("untouched", 0, PageClass.FAKE),
        ("aba", -1, PageClass.FIRST),
        ("zero", 0, PageClass.CHANGED),
    ],
)
def test_each_wrong_class_is_found(name: str, visit: int, claimed: PageClass) -> None:
    played = Played(100_000, 20_000, rounds=4)
    records = played.records
    index = visits(records, TRUE_SETS[name])[visit]
    score = judged(played, with_class(records, index, claimed))
    assert score.sets[name].wrong.tolist() == [index]
    assert score.wrong == 1
    assert score.right_share == 1 - 1 / score.judged
    assert "1 wrong" in str(score)


def test_a_second_visit_of_an_untouched_page_is_found() -> None:
    played = Played(100_000, 20_000, rounds=3)
    played.rows.append((int(TRUE_SETS["untouched"][0]), PageClass.FAKE, Disposition.NORMAL, 3, played.now))
    assert judged(played).sets["untouched"].wrong.tolist() == [len(played.rows) - 1]


@pytest.mark.parametrize(
    ("name", "disposition"), [("fake", Disposition.ZERO), ("aba", Disposition.ZERO), ("changed", Disposition.SKIPPED)]
)
def test_a_disposition_that_cannot_be_is_found(name: str, disposition: Disposition) -> None:
    played = Played(100_000, 20_000, rounds=4)
    index = visits(played.records, TRUE_SETS[name])[-1]
    records = played.records
    records.disposition[index] = disposition
    assert judged(played, records).sets[name].wrong.tolist() == [index]


def test_a_page_that_was_never_visited_is_counted() -> None:
    played = Played(100_000, 20_000, rounds=2)
    played.rows = [row for row in played.rows if row[0] != TRUE_SETS["fake"][0]]
    assert judged(played).sets["fake"].unvisited == 1


def test_records_that_qemu_dropped_make_pages_first_again() -> None:
    played = Played(100_000, 20_000, rounds=5, forget_at=2)
    assert judged(played, forgotten={2}).wrong == 0
    assert judged(played).wrong > 0


def test_a_changed_page_is_not_judged_while_the_guest_is_stopped() -> None:
    played = Played(100_000, 20_000, rounds=4)
    index = visits(played.records, TRUE_SETS["changed"])[-1]
    records = with_class(played.records, index, PageClass.FAKE)
    assert judged(played, records).wrong == 1
    assert judged(played, records, switchover={4}).wrong == 0


def test_no_records_give_no_share() -> None:
    empty = PageRecords(*(np.empty(0, np.int64) for _ in range(5)))
    score = judge(TRUE_SETS, empty, sweep_seconds=1)
    assert score.right_share is None
    assert score.sets["fake"].unvisited == PER_SET


def test_recorded_frames_are_taken_in() -> None:
    words = [("class", ["first", "fake"]), ("disposition", ["zero", "skipped"]), ("block", ["pc.ram", "pc.bios"])]
    pages = pd.DataFrame({"page": [4, 5], "round": [1, 2], "time_ns": [7, 8]} | dict(words))
    for column, _ in words:
        pages[column] = pages[column].astype("category")
    ram, firmware = PageRecords.of_frame(pages), PageRecords.of_frame(pages, "pc.bios")
    assert [int(array[0]) for array in (ram.page, ram.page_class, ram.disposition, ram.round, ram.time_ns)] == [
        4, PageClass.FIRST, Disposition.ZERO, 1, 7,
    ]  # fmt: skip
    assert (int(firmware.page_class[0]), int(firmware.disposition[0])) == (PageClass.FAKE, Disposition.SKIPPED)
    rounds = pd.DataFrame({"round": [1, 2, 3], "kind": ["bulk", "iterative", "switchover"]})
    assert switchover_rounds(rounds) == {3}
