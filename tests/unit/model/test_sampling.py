"""Estimates from a sample: they add up, and their intervals hold the truth as often as they say."""

from __future__ import annotations

import argparse
import random

import pytest
from fakedirty.cli.observe_options import parse_sample
from fakedirty.model.enums import Kind
from fakedirty.model.round import CLASSES, Round, broken_law
from fakedirty.model.sampling import estimated, wilson
from hypothesis import given
from hypothesis import strategies as st

COUNTS = st.integers(0, 10_000)


@given(st.tuples(COUNTS, COUNTS, COUNTS), st.integers(1, 64))
def test_estimates_are_pages_and_add_up(classes: tuple[int, int, int], n: int) -> None:
    sampled = dict(zip(CLASSES, classes, strict=True))
    visited = sum(classes) * n
    columns = estimated(sampled, visited)
    assert all(value >= 0 for value in columns.values())
    assert columns["sampled_pages"] == sum(classes)
    assert columns["fake_pages_low"] <= columns["fake_pages"] <= columns["fake_pages_high"] <= visited
    assert not broken_law(Round(1, Kind.ITERATIVE, None, None, 0.0, 1.0, visited_pages=visited, **columns))


def test_of_no_sample_nothing_is_claimed() -> None:
    columns = estimated(dict.fromkeys(CLASSES, 0), 100)
    assert (columns["first_pages"], columns["fake_pages"]) == (100, 0)
    assert (columns["fake_pages_low"], columns["fake_pages_high"]) == (0, 100)


@pytest.mark.parametrize(("share", "trials"), [(0.5, 200), (0.02, 400), (0.98, 1000)])
def test_intervals_hold_the_truth_as_often_as_they_say(share: float, trials: int) -> None:
    chance = random.Random(1)
    held = 0
    for _ in range(2000):
        low, high = wilson(sum(chance.random() < share for _ in range(trials)), trials)
        held += low <= share <= high
    assert 0.93 <= held / 2000 <= 0.99


@pytest.mark.parametrize("text", ["2", "1/0", "1/x", "2/4", "1/-3", ""])
def test_what_is_no_sample_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="1/16"):
        parse_sample(text)
    assert parse_sample("1/16") == 16
