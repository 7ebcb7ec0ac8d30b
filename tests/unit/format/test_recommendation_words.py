"""What is recommended, in words: for the plan in force, and for the other one where that needs less."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from fakedirty.format.recommendation import advised, recommendation_numbers, recommendation_sentences, up
from fakedirty.format.sentences import in_words
from fakedirty.model.forecast import Estimate, Forecast, Prediction, Refutation
from fakedirty.model.prediction import predict
from played_guests import Guest, played

Range = tuple[float, float, float | None]


def plan(
    limit: Range | None = None, bandwidth: Range | None = None, throttle: Range | None = None, *, ends: bool = False
) -> Prediction:
    """A plan with these needs."""
    known = Estimate(8.0, 8.0, 8.0) if ends else None
    searches = [lambda of=of: None if of is None else Estimate(*of) for of in (limit, bandwidth, throttle)]
    return Prediction(ends, True, known, known, *searches)


def forecast(as_is: Prediction, with_skip: Prediction, **members: Any) -> Forecast:
    """With a link of 124 MB/s and a limit of 300 ms."""
    known = predict(played(Guest(65_000, changed=0.08), 3)[0], 0.3)
    assert known
    return replace(known, as_is=as_is, with_skip=with_skip, link_rate=124e6, **members)


def said(as_is: Prediction, with_skip: Prediction, **members: Any) -> str:
    return " ".join(recommendation_sentences(forecast(as_is, with_skip, **members)))


PLAIN = plan((1.81, 1.81, 1.81), (304e6, 304e6, 304e6))
SKIP = plan((0.171, 0.176, 0.18), (58e6, 59.3e6, 60e6), ends=True)


def test_as_it_is_and_with_skip() -> None:
    wanted = "As it is, it needs 310 MB/s or a limit of 1.9 s. With skip, 60 MB/s or a limit of 180 ms would do."
    assert said(PLAIN, SKIP) == wanted
    found = forecast(PLAIN, SKIP)
    assert advised(found) == f"{in_words(found)} {wanted}"


def test_a_wide_range_and_a_throttle() -> None:
    wide = plan((0.0, 1.81, 2.5), (62e6, 304e6, 399e6), (0.4, 0.695, None))
    assert said(wide, plan()) == (
        "As it is, it needs 310 MB/s (62 MB/s to 400 MB/s), a limit of 1.9 s (1 ms to 2.5 s) or a throttle of 70% "
        "(at best 40%)."
    )
    narrow = plan(throttle=(0.695, 0.695, None))
    assert said(narrow, plan()) == "As it is, it needs a throttle of 70%."


def test_where_skip_is_on_only_that_is_meant() -> None:
    on = plan((0.69, 0.69, 0.69), (287e6, 287e6, 287e6))
    assert said(PLAIN, on, skipping=True) == "With skip on, it needs 290 MB/s or a limit of 690 ms."


@pytest.mark.parametrize(
    ("skip", "named"),
    [
        (plan((1.8, 1.8, 1.8), (300e6, 300e6, 300e6)), False),
        (plan((1.7, 1.7, 1.7), (300e6, 300e6, 300e6)), True),
        (plan((1.8, 1.8, 1.8), (280e6, 280e6, 280e6)), True),
        (plan((1.8, 1.8, 1.8), None, (0.3, 0.3, None)), True),
        (plan(), False),
    ],
)
def test_skip_is_named_where_less_would_do_with_it(skip: Prediction, named: bool) -> None:
    assert ("With skip" in said(PLAIN, skip)) is named


def test_a_plan_that_nothing_helps_needs_no_words() -> None:
    assert said(plan(), plan()) == ""
    assert said(plan(), SKIP) == "With skip, 60 MB/s or a limit of 180 ms would do."


def test_where_the_limit_is_assumed_what_goes_by_it_names_it() -> None:
    throttled = plan((1.81, 1.81, 1.81), (304e6, 304e6, 304e6), (0.7, 0.7, None))
    assert said(throttled, plan(), limit_assumed=True) == (
        "As it is, it needs 310 MB/s with a limit of 300 ms, a limit of 1.9 s or a throttle of 70% with a limit of "
        "300 ms."
    )


def test_nothing_is_said_of_a_migration_that_ends_or_of_a_verdict_that_is_withdrawn() -> None:
    assert said(SKIP, SKIP) == ""
    assert said(PLAIN, SKIP, skipping=True) == ""
    found = forecast(PLAIN, SKIP, refuted=Refutation(2, None))
    assert advised(found) == in_words(found)
    assert list(recommendation_numbers(found)) == []


def test_the_numbers_of_the_page() -> None:
    wide = plan((0.0, 1.81, 2.5), (62e6, 304e6, 399e6), (0.4, 0.695, None))
    assert list(recommendation_numbers(forecast(wide, SKIP))) == [
        ("without skip, converges with a bandwidth from", "310 MB/s (62 MB/s to 400 MB/s)"),
        ("without skip, converges with a throttle from", "70% (at best 40%)"),
        ("with skip, converges with a bandwidth from", "60 MB/s"),
    ]


@pytest.mark.parametrize(
    ("value", "rounded"), [(304, 310), (310, 310), (311, 320), (0.1751, 0.18), (99.1, 100), (1, 1), (1.01, 1.1)]
)
def test_values_are_rounded_up_to_two_digits(value: float, rounded: float) -> None:
    assert up(value) == pytest.approx(rounded)


def test_where_skip_alone_is_not_enough_less_may_do_with_it() -> None:
    """Half of the pages change: with skip half of the bandwidth would do, and that is more than there is."""
    found = predict(played(Guest(60_000, changed=0.5), 4)[0], 0.3)
    assert found
    words = advised(found)
    assert "Skip alone would not help: " in words
    assert "Skip would not help" not in words
    assert "With skip, 440 MB/s" in words


def test_of_a_guest_that_was_played() -> None:
    """In figures of the model's own tests."""
    found = predict(played(Guest(65_000, changed=0.08), 4)[0], 0.3)
    assert found
    assert re.search(r"As it is, it needs 900 MB/s .* or a limit of 2\.2 s", advised(found))
