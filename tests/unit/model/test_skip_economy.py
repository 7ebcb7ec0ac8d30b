"""Costs and savings of skip mode, with numbers worked out by hand.

Each round: 25 ms of hashing, 3 MB saved, 10 MB sent in 0.1 s. Three of them: 75 ms spent, and 9 MB saved, which take
90 ms at 100 MB/s.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from fakedirty.model.enums import Kind, Mode
from fakedirty.model.round import Round
from fakedirty.model.skip_economy import LAST_ROUNDS, RECENT_ROUNDS, SkipEconomy, economy

SKIPPING = Round(
    *(2, Kind.ITERATIVE, Mode.SKIP, "xxh3-64", 1.0, 0.1),
    changed_pages=1000,
    fake_pages=1000,
    transferred_bytes=10_000_000,
    saved_bytes=3_000_000,
    hash_seconds=0.025,
)
THREE = [SKIPPING] * 3


def of(rounds: list[Round], channels: int | None = 1) -> SkipEconomy:
    found = economy(rounds, channels)
    assert found is not None
    return found


def test_the_sums_of_three_rounds() -> None:
    found = of(THREE)
    assert LAST_ROUNDS == 3
    assert (found.rounds, found.saved_bytes) == (3, 9_000_000)
    assert found.hash_seconds == pytest.approx(0.075)
    assert found.link_rate == pytest.approx(100e6)
    assert found.saved_seconds == pytest.approx(0.090)
    assert found.pays is True


@pytest.mark.parametrize(
    ("hash_seconds", "pays"),
    [
        (0.025, True),  # 75 ms of 90: it would also pay if half of the cost was forgotten
        (0.029, True),  # 87 ms: it would not if half of the savings were
        (0.031, False),  # 93 ms
        (0.059, False),  # 177 ms: half of it, 88.5 ms, would pay
    ],
)
def test_it_pays_while_it_saves_more_time_than_it_costs(hash_seconds: float, pays: bool) -> None:
    assert of([replace(SKIPPING, hash_seconds=hash_seconds)] * 3).pays is pays


def test_it_does_not_pay_when_it_costs_what_it_saves() -> None:
    assert SkipEconomy(3, 0.5, 50_000_000, 100e6).pays is False
    assert SkipEconomy(3, 0.499, 50_000_000, 100e6).pays is True


def test_channels_hash_at_the_same_time() -> None:
    """93 ms are the sum over two channels: 46.5 ms of time."""
    rounds = [replace(SKIPPING, hash_seconds=0.031)] * 3
    assert of(rounds, 1).pays is False
    assert of(rounds, 2).hash_seconds == pytest.approx(0.0465)
    assert of(rounds, 2).pays is True


def test_without_the_number_of_channels_the_cost_is_not_known() -> None:
    found = of(THREE, None)
    assert (found.hash_seconds, found.pays) == (None, None)
    assert found.saved_seconds == pytest.approx(0.090)


def test_the_last_three_rounds_count() -> None:
    earlier = replace(SKIPPING, hash_seconds=9.0, saved_bytes=1)
    assert of([earlier, *THREE]) == of(THREE)
    assert of([*THREE, earlier]).hash_seconds == pytest.approx(9.05)
    assert economy(THREE[:2], 1) is None
    assert economy([], 1) is None


@pytest.mark.parametrize(
    "other",
    [
        replace(SKIPPING, kind=Kind.BULK),
        replace(SKIPPING, kind=Kind.SWITCHOVER),
        replace(SKIPPING, mode=Mode.OBSERVE),
        replace(SKIPPING, fake_pages=0, changed_pages=0),
        replace(SKIPPING, fake_pages=None, changed_pages=None),
        replace(SKIPPING, hash_seconds=None),
        replace(SKIPPING, saved_bytes=None),
    ],
    ids=["bulk", "switchover", "observe", "all hashed for the first time", "not classified", "no cost", "no saving"],
)
def test_rounds_in_which_nothing_could_be_skipped_do_not_count(other: Round) -> None:
    assert economy([*THREE[:2], other], 1) is None
    assert of([*THREE, other]) == of(THREE)


@pytest.mark.parametrize("pages", [{"fake_pages": 1, "changed_pages": 0}, {"fake_pages": 0, "changed_pages": 1}])
def test_one_compared_page_is_enough(pages: dict[str, int]) -> None:
    assert of([replace(SKIPPING, **pages)] * 3).rounds == 3


def test_rounds_that_cost_and_save_nothing_count() -> None:
    found = of([*THREE[:2], replace(SKIPPING, hash_seconds=0.0, saved_bytes=0)])
    assert (found.hash_seconds, found.saved_bytes) == (pytest.approx(0.05), 6_000_000)


def test_the_link_is_as_fast_as_the_fastest_round_that_was_long_enough() -> None:
    bulk = Round(1, Kind.BULK, Mode.SKIP, "xxh3-64", 0.0, 2.0, transferred_bytes=250_000_000)  # 125 MB/s
    assert of([bulk, *THREE]).link_rate == pytest.approx(125e6)
    just = replace(bulk, duration_seconds=0.1, transferred_bytes=20_000_000)  # 200 MB/s
    assert of([just, *THREE]).link_rate == pytest.approx(200e6)
    short = replace(just, duration_seconds=0.0999)
    assert of([short, *THREE]).link_rate == pytest.approx(100e6)


def test_without_a_round_that_shows_the_link_nothing_is_known() -> None:
    assert economy([replace(SKIPPING, duration_seconds=0.05)] * 3, 1) is None
    assert economy([replace(SKIPPING, transferred_bytes=None)] * 3, 1) is None
    assert economy([replace(SKIPPING, transferred_bytes=0)] * 3, 1) is None


def test_rounds_long_ago_are_forgotten() -> None:
    fast = replace(SKIPPING, mode=Mode.OFF, transferred_bytes=40_000_000)  # 400 MB/s
    idle = replace(SKIPPING, mode=Mode.OFF, transferred_bytes=0)
    assert RECENT_ROUNDS == 64
    assert of([fast, *[idle] * 60, *THREE]).link_rate == pytest.approx(400e6)
    assert of([fast, *[idle] * 61, *THREE]).link_rate == pytest.approx(100e6)
