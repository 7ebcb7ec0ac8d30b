"""The content of a guest's pages, by the law of ``guests/pages.h``, checked on the memory of a stopped guest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fakedirty.errors import LabError

from .page_frames import FrameNumbers
from .serial_report import GuestReport
from .workload import TEXT_WORDS

PAGE_BYTES = 4096  # of the guest's CPU
PAGE_WORDS = PAGE_BYTES // 4
STATUS_MAGIC = 0x59444B46
PHASE_SWEEPS = 16  # as in guests/pages.h
CHUNK_PAGES = 4096  # how many pages are compared in one step

Words = npt.NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class ContentStatus:
    """The status page: the number of the sweep that is being written, and of the last complete one."""

    sweep: int
    done: int


@dataclass(frozen=True, slots=True)
class ContentReport:
    """The result of a check: the frames of each set that have wrong content; sets without any are left out."""

    status: ContentStatus
    pages: int
    wrong: Mapping[str, FrameNumbers]

    @property
    def right(self) -> bool:
        """Whether every page has the content that it must have."""
        return not self.wrong

    def __str__(self) -> str:
        if self.right:
            return f"{self.pages:,} pages hold what sweep {self.status.done} or {self.status.sweep} left"
        named = ", ".join(f"{len(frames):,} {name} (first: {frames[0]})" for name, frames in self.wrong.items())
        return f"of {self.pages:,} pages wrong at sweep {self.status.sweep}: {named}"


def pattern(frames: FrameNumbers) -> Words:
    """The 32-bit word that fills the page of each frame, as an array of the shape of `frames`."""
    return (frames * 2654435761).astype(np.uint32)


def letters(frames: FrameNumbers) -> Words:
    """The words of the page of each frame if it were all text: an array of shape (frames, PAGE_WORDS)."""
    word = np.arange(PAGE_WORDS, dtype=np.uint32) * np.uint32(2246822519)
    mixed: Words = pattern(frames)[:, None] + word
    mixed = (mixed ^ mixed >> np.uint32(15)) * np.uint32(2246822519)
    mixed = (mixed ^ mixed >> np.uint32(13)) * np.uint32(3266489917)
    return ((mixed ^ mixed >> np.uint32(16)) & np.uint32(0x3F3F3F3F)) + np.uint32(0x30303030)


def filling(name: str, frames: FrameNumbers, text_words: int = 0) -> Words:
    """The words that the pages of set `name` are filled with: an array of shape (frames, PAGE_WORDS)."""
    words = np.zeros((len(frames), PAGE_WORDS), np.uint32)
    if name != "zero":
        words[:] = pattern(frames)[:, None]
        if text_words:
            is_text = np.arange(PAGE_WORDS) % TEXT_WORDS < text_words
            words[:, is_text] = letters(frames)[:, is_text]
    return words


def cell(frames: FrameNumbers) -> FrameNumbers:
    """The index of the word that a sweep stores to, for the page of each frame."""
    return frames * 37 % PAGE_WORDS


def phased(sweep: int) -> int:
    """The number of the last sweep, up to this one, that changed the pages of set ``phased``."""
    phase = sweep // PHASE_SWEEPS
    return sweep if phase % 2 else max(phase * PHASE_SWEEPS - 1, 0)


# by set: the word in the cell of each page after a sweep
CELLS: dict[str, Callable[[FrameNumbers, int], Words]] = {
    "fake": lambda frames, _sweep: pattern(frames),
    "changed": lambda frames, sweep: np.full(len(frames), sweep, np.uint32),
    "zero": lambda frames, sweep: pattern(frames) * np.uint32(sweep % 2),
    "aba": lambda frames, sweep: ~pattern(frames) if sweep % 2 else pattern(frames),
    "phased": lambda frames, sweep: np.full(len(frames), phased(sweep), np.uint32),
    "untouched": lambda frames, _sweep: pattern(frames),
}


def status_of(memory: Words, frame: int) -> ContentStatus:
    """Read the status page at `frame`; LabError if that page is no status page."""
    magic, sweep, done = (int(word) for word in memory[frame, :3])
    if magic != STATUS_MAGIC:
        raise LabError(f"frame {frame} is no status page: it begins with {magic:#x}")
    return ContentStatus(sweep, done)


def check_content(memory: npt.NDArray[np.uint32], report: GuestReport) -> ContentReport:
    """Compare all pages of all sets with the law.

    Args:
        memory: the memory of a stopped guest, RAM block ``pc.ram`` or physical memory, of shape (pages, PAGE_WORDS).
        report: the guest's report.

    Raises:
        LabError: the guest has not reported its status page yet, or there is none where it reported it.
    """
    if report.status_frame is None:
        raise LabError("the guest has not reported its status page yet: wait until it is ready")
    status = status_of(memory, report.status_frame)
    wrong = {name: _wrong(memory, name, frames, status, report.text_words) for name, frames in report.sets.items()}
    pages = sum(len(frames) for frames in report.sets.values())
    return ContentReport(status, pages, {name: frames for name, frames in wrong.items() if len(frames)})


def _wrong(memory: Words, name: str, frames: FrameNumbers, status: ContentStatus, text_words: int) -> FrameNumbers:
    parts = [frames[at : at + CHUNK_PAGES] for at in range(0, len(frames), CHUNK_PAGES)]
    right = (_right(memory[part], name, part, status, text_words) for part in parts)
    return np.concatenate([frames[:0], *(part[~each] for part, each in zip(parts, right, strict=True))])


def _right(
    pages: Words, name: str, frames: FrameNumbers, status: ContentStatus, text_words: int
) -> npt.NDArray[np.bool_]:
    """For each page, whether it has the content that one of the two sweeps leaves."""
    page, cells = np.arange(len(frames)), cell(frames)
    found = pages[page, cells]
    swept = np.logical_or.reduce([found == CELLS[name](frames, sweep) for sweep in (status.sweep, status.done)])
    filled = pages == filling(name, frames, text_words)
    filled[page, cells] = True
    intact: npt.NDArray[np.bool_] = swept & filled.all(axis=1)
    return intact
