"""Workloads on the command lines of the guests: every setting is there, and the page sets fit the memory."""

from __future__ import annotations

import numpy as np
import pytest
from fakedirty.errors import UsageError
from fakedirty.lab.guests.page_frames import PageFrames, frame_numbers
from fakedirty.lab.guests.workload import (
    BAREMETAL_FIRST,
    PROBE,
    REFERENCE,
    SETS,
    Workload,
    baremetal_words,
    linux_words,
)
from hypothesis import given
from hypothesis import strategies as st

PAGES = st.integers(0, 2000)
WORKLOADS = st.builds(
    Workload,
    **dict.fromkeys(SETS, PAGES),
    pause_ms=st.integers(0, 1000),
    report_ms=st.integers(0, 1000),
    memory_mib=st.just(256),
    stride=st.integers(1, 5),
    parts=st.integers(1, 9),
    text=st.integers(0, 15),
)


def values(words: str) -> dict[str, str]:
    return dict(word.split("=") for word in words.split() if not word.startswith(("console=", "loglevel=", "panic=")))


@given(st.builds(PageFrames, PAGES, PAGES, st.integers(1, 9)))
def test_page_frames_survive_str_and_parse(frames: PageFrames) -> None:
    assert PageFrames.parse(str(frames)) == frames


@pytest.mark.parametrize("text", ["", "1", "1+", "+1", "1+2*", "1+2*3*4", "0x1+2", "-1+2"])
def test_text_that_is_no_page_frames_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not FIRST"):
        PageFrames.parse(text)


def test_frame_numbers_keep_the_order_of_the_ranges() -> None:
    assert frame_numbers([PageFrames(10, 2), PageFrames(3, 3, 2)]).tolist() == [10, 11, 3, 5, 7]
    assert frame_numbers([]).tolist() == []


@given(WORKLOADS)
def test_the_bare_metal_guest_gets_disjoint_frames_within_its_memory(workload: Workload) -> None:
    words = values(baremetal_words(workload))
    assert int(words.pop("pause")) == workload.pause_ms
    assert int(words.pop("report")) == workload.report_ms
    assert int(words.pop("parts", "1")) == workload.parts
    assert int(words.pop("text", "0")) == workload.text
    sets = {name: frame_numbers([PageFrames.parse(text)]) for name, text in words.items()}
    assert {name: len(frames) for name, frames in sets.items()} == workload.counts
    frames = np.concatenate([np.empty(0, np.int64), *sets.values()])
    assert len(np.unique(frames)) == len(frames)
    assert not len(frames) or (frames.min() >= BAREMETAL_FIRST and frames.max() < workload.memory_mib * 256)


def test_the_linux_guest_gets_counts_after_the_kernels_own_words() -> None:
    kernel, separator, own = linux_words(REFERENCE).partition(" -- ")
    assert "console=ttyS0" in kernel
    assert separator
    assert values(own) == {"fake": "60000", "changed": "5000", "pause": "20", "report": "1000"}


def test_the_linux_guest_has_no_stride() -> None:
    with pytest.raises(UsageError, match="stride"):
        linux_words(Workload(fake=1, stride=2))


@pytest.mark.parametrize("words", [baremetal_words, linux_words])
def test_sets_that_do_not_fit_are_refused_with_the_needed_memory(words: object) -> None:
    assert callable(words)
    with pytest.raises(UsageError, match=r"need a guest of \d+ MiB"):
        words(Workload(fake=60_000, memory_mib=128))


def test_the_probe_fits_any_guest() -> None:
    assert "fake=" in baremetal_words(PROBE)
    assert "fake=" in linux_words(PROBE)


@pytest.mark.parametrize(
    "wrong",
    [
        {"fake": -1},
        {"pause_ms": -1},
        {"stride": 0},
        {"memory_mib": 0},
        {"memory_mib": 3072},
        {"parts": 0},
        {"text": 16},
    ],
)
def test_values_out_of_range_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(UsageError):
        Workload(**wrong)
