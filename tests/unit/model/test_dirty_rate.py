"""Rates of pages that get dirty, with numbers worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fakedirty.format.progress import rates_by_block
from fakedirty.model.dirty_rate import BLOCKS_SHOWN, OTHER_BLOCKS, BlockVisits, DirtyRate, dirty_rate
from fakedirty.model.enums import Kind, Mode
from fakedirty.model.round import Round


def lasting(number: int, seconds: float, dirty: int | None, left: int = 0) -> Round:
    kind = Kind.BULK if number == 1 else Kind.ITERATIVE
    visited = None if dirty is None else dirty - left
    return Round(
        number, kind, Mode.OBSERVE, "xxh3-64", 0.0, seconds, dirty_pages=dirty, visited_pages=visited, left_pages=left
    )


ROUNDS = [lasting(1, 4.0, 131_072), lasting(2, 2.0, 60_000), lasting(3, 1.0, 30_000), lasting(4, 0.5, 10_000)]


def test_the_next_round_shows_what_was_written_in_a_round() -> None:
    """60,000 pages in 4 s, 30,000 in 2 s and 10,000 in 1 s."""
    assert dirty_rate(ROUNDS, BlockVisits()) == DirtyRate(100_000 / 7.0, 3)


def test_pages_that_were_left_were_dirty_before() -> None:
    """Of 30,000 dirty pages 20,000 had been left, of a working set of 60,000: a third of it was not written again."""
    rounds = [ROUNDS[0], lasting(2, 2.0, 60_000, left=20_000), ROUNDS[2]]
    # 60,000 in 4 s; in 2 s (30,000 - 20,000) / (1 - 20,000 / 60,000) = 15,000
    assert dirty_rate(rounds, BlockVisits()) == DirtyRate(75_000 / 6.0, 2)


def test_only_the_last_eight_rounds_count() -> None:
    rounds = [lasting(1, 4.0, 131_072), *(lasting(number, 1.0, 1_000) for number in range(2, 20))]
    assert dirty_rate(rounds, BlockVisits()) == DirtyRate(1_000.0, 8)


@pytest.mark.parametrize(
    "rounds",
    [
        [],
        ROUNDS[:1],
        [ROUNDS[0], ROUNDS[2]],
        [replace(ROUNDS[0], duration_seconds=0.0), ROUNDS[1]],
        [ROUNDS[0], lasting(2, 1.0, None)],
        [ROUNDS[0], replace(ROUNDS[1], invalid_reason="3 events lost")],
        [replace(ROUNDS[0], invalid_reason="the observer came in the middle"), ROUNDS[1]],
    ],
    ids=["no round", "one round", "a gap", "zero length", "not seen", "not valid", "not valid before"],
)
def test_what_no_round_shows_is_not_known(rounds: list[Round]) -> None:
    assert dirty_rate(rounds, BlockVisits()) is None


def visits(*counts: tuple[int, str, int]) -> BlockVisits:
    made = BlockVisits()
    for number, block, pages in counts:
        made.take(number, block, pages)
    return made


def test_blocks_have_the_shares_of_what_was_visited() -> None:
    """Of 40,000 visited pages of rounds 3 and 4, 30,000 are of RAM. Round 2 lacks a record, and is left out."""
    seen = visits((2, "pc.ram", 59_999), (3, "pc.ram", 256), (3, "pc.ram", 24_744), (3, "vga.vram", 5_000))
    seen.take(4, "vga.vram", 5_000)
    seen.take(4, "pc.ram", 5_000)
    rate = dirty_rate(ROUNDS, seen)
    assert rate is not None
    assert rate.blocks == {
        "pc.ram": pytest.approx(0.75 * rate.pages),
        "vga.vram": pytest.approx(0.25 * rate.pages),
    }
    assert rates_by_block(rate) == [("pc.ram", "10.7k pages/s"), ("vga.vram", "3571 pages/s")]


def test_without_complete_page_records_no_block_is_known() -> None:
    rate = dirty_rate(ROUNDS, visits((2, "pc.ram", 59_999), (3, "pc.ram", 30_001)))
    assert rate is not None
    assert rate.blocks is None
    assert rates_by_block(rate) == []


def test_many_blocks_are_summed_up() -> None:
    """Twelve blocks, the last of which has most: the four that have least are one."""
    counts = [(2, f"block {number:02}", 100 * number) for number in range(1, 13)]
    rounds = [lasting(1, 1.0, 131_072), lasting(2, 1.0, 7_800)]
    rate = dirty_rate(rounds, visits(*counts))
    assert rate is not None
    assert rate.blocks is not None
    assert len(rate.blocks) == BLOCKS_SHOWN + 1 == 9
    assert next(iter(rate.blocks)) == "block 12"
    assert rate.blocks["block 12"] == pytest.approx(1_200)
    assert rate.blocks[OTHER_BLOCKS] == pytest.approx(100 + 200 + 300 + 400)


def test_old_rounds_are_forgotten() -> None:
    seen = visits(*((number, "pc.ram", 10) for number in range(1, 21)))
    assert seen.of(lasting(12, 1.0, 10)) == {"pc.ram": 10}
    assert seen.of(lasting(11, 1.0, 10)) is None
