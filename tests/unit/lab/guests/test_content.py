"""The law of page contents: memory that obeys it is right, and every kind of damage is found."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from fakedirty.errors import LabError
from fakedirty.lab.guests.content import (
    CELLS,
    PAGE_WORDS,
    PHASE_SWEEPS,
    STATUS_MAGIC,
    cell,
    check_content,
    filling,
    pattern,
    phased,
)
from fakedirty.lab.guests.serial_report import GuestReport, parse_report
from fakedirty.lab.guests.workload import SETS

STATUS = 5
REPORT = "".join(f"guest: set {name} {100 * (i + 1)}+7\n" for i, name in enumerate(SETS)) + f"guest: status {STATUS}\n"


@pytest.fixture
def report() -> GuestReport:
    return parse_report(REPORT)


@pytest.fixture
def with_text() -> GuestReport:
    return parse_report(f"guest: text 7\n{REPORT}")


def memory_after(report: GuestReport, sweep: int, done: int) -> npt.NDArray[np.uint32]:
    memory = np.zeros((700, PAGE_WORDS), np.uint32)
    memory[STATUS, :3] = STATUS_MAGIC, sweep, done
    for name, frames in report.sets.items():
        memory[frames] = filling(name, frames, report.text_words)
        memory[frames, cell(frames)] = CELLS[name](frames, sweep)
    return memory


@pytest.mark.parametrize("sweep", [0, 1, 2, 7])
def test_memory_that_a_sweep_left_is_right(report: GuestReport, sweep: int) -> None:
    content = check_content(memory_after(report, sweep, sweep), report)
    assert content.right
    assert content.pages == 7 * len(SETS)
    assert "42 pages" in str(content)


def test_pages_before_the_current_sweep_reaches_them_are_right(report: GuestReport) -> None:
    memory, before = memory_after(report, 7, 6), memory_after(report, 6, 6)
    memory[103:] = before[103:]
    assert check_content(memory, report).right


@pytest.mark.parametrize("name", SETS)
def test_a_page_of_another_frame_is_found(report: GuestReport, name: str) -> None:
    memory = memory_after(report, 7, 7)
    frames = report.frames(name)
    memory[frames[3]] = memory[frames[4]]
    content = check_content(memory, report)
    assert content.wrong[name].tolist() == [frames[3]]
    assert list(content.wrong) == [name]
    assert f"1 {name} (first: {frames[3]})" in str(content)


@pytest.mark.parametrize("name", ["changed", "zero", "aba"])
def test_a_page_left_behind_by_sweeps_is_found(report: GuestReport, name: str) -> None:
    memory, before = memory_after(report, 7, 7), memory_after(report, 4, 4)
    frame = report.frames(name)[0]
    memory[frame] = before[frame]
    assert check_content(memory, report).wrong[name].tolist() == [frame]


def test_a_phased_page_changes_in_every_sweep_of_every_other_phase() -> None:
    held = [phased(sweep) for sweep in range(4 * PHASE_SWEEPS)]
    first, second, third, fourth = (held[at : at + PHASE_SWEEPS] for at in range(0, len(held), PHASE_SWEEPS))
    assert set(first) == {0}
    assert second == list(range(PHASE_SWEEPS, 2 * PHASE_SWEEPS))
    assert set(third) == {second[-1]}
    assert fourth[0] == 3 * PHASE_SWEEPS


def test_a_phased_page_left_behind_by_a_phase_is_found(report: GuestReport) -> None:
    after, before = 2 * PHASE_SWEEPS + 1, 2 * PHASE_SWEEPS - 2
    memory = memory_after(report, after, after)
    frame = report.frames("phased")[0]
    memory[frame] = memory_after(report, before, before)[frame]
    assert check_content(memory, report).wrong["phased"].tolist() == [frame]


def test_a_single_wrong_word_anywhere_is_found(report: GuestReport) -> None:
    memory = memory_after(report, 7, 7)
    frame = report.frames("untouched")[2]
    memory[frame, (cell(frame) + 1) % PAGE_WORDS] ^= np.uint32(1)
    assert check_content(memory, report).wrong["untouched"].tolist() == [frame]


def test_text_depends_on_page_and_place(with_text: GuestReport) -> None:
    memory = memory_after(with_text, 7, 7)
    assert check_content(memory, with_text).right
    assert not check_content(memory, parse_report(REPORT)).right, "a page with text differs from one without"
    page = memory[with_text.frames("fake")[0]]
    characters = page.reshape(-1, 16)[:, :7].tobytes()
    assert set(characters) <= set(range(0x30, 0x70)) | set(
        int(pattern(with_text.frames("fake"))[0]).to_bytes(4, "little")
    )
    assert len(np.unique(page)) > PAGE_WORDS * 7 / 16 - 5, "no word of text is repeated"
    assert not memory[with_text.frames("zero"), 1].any()


@pytest.mark.parametrize("word", [0, 6, 7, 15])
def test_a_wrong_word_of_text_or_beside_it_is_found(with_text: GuestReport, word: int) -> None:
    memory = memory_after(with_text, 7, 7)
    frame = next(frame for frame in with_text.frames("untouched") if cell(np.array([frame])) != word)
    memory[frame, word] ^= np.uint32(1)
    assert check_content(memory, with_text).wrong["untouched"].tolist() == [frame]


def test_memory_without_a_status_page_is_refused(report: GuestReport) -> None:
    with pytest.raises(LabError, match="no status page"):
        check_content(np.zeros((700, PAGE_WORDS), np.uint32), report)
    with pytest.raises(LabError, match="wait until it is ready"):
        check_content(np.zeros((700, PAGE_WORDS), np.uint32), GuestReport())
