"""Forecasts of migrations that are computed here by arithmetic: the predictions come true."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from fakedirty.format.sentences import estimate_words, in_words
from fakedirty.model import prediction
from fakedirty.model.enums import Kind
from fakedirty.model.forecast import Estimate, Forecast, Prediction
from fakedirty.model.prediction import predict
from fakedirty.model.recommendation import recommendations
from fakedirty.model.simulation import End
from fakedirty.model.working_set import dirtying_points, fitted, saturated, steady
from hypothesis import given
from hypothesis import strategies as st
from played_guests import PAGE, Guest, played


def judged(guest: Guest, rounds: int = 2, **plan: int) -> Forecast:
    done, _ = played(guest, rounds, **plan)
    found = predict(done, guest.limit)
    assert found
    return found


SILENT = Guest(65_000, changed=0.08)


def test_a_guest_that_rewrites_silently_converges_with_skip_alone() -> None:
    found = judged(SILENT)
    assert not found.as_is.converges
    assert judged(SILENT, 3).as_is.certain  # after two rounds it might yet be one that gets around slowly
    assert found.with_skip.converges
    assert found.unchanged_ratio == pytest.approx(0.92, abs=0.001)
    assert found.dirty_seconds == pytest.approx(65_000 * PAGE / 125e6, rel=0.02)
    _, total = played(SILENT, 100, skip_after=2)
    assert total
    assert found.with_skip.total_seconds
    assert found.with_skip.total_seconds.expected == pytest.approx(total, rel=0.01)
    assert "probably does not converge: each round leaves 65,000 dirty pages" in in_words(found)
    assert "With skip it would" in in_words(found)


def test_where_too_much_changes_skip_does_not_help() -> None:
    found = judged(Guest(60_000, changed=0.5))
    assert not found.with_skip.converges
    assert "Skip alone would not help: those that have changed take 9" in in_words(found)  # 985 ms


def test_what_converges_anyway_needs_no_skip() -> None:
    """A guest that dirties less than the link takes: each round is shorter than the one before."""
    slow = Guest(60_000, changed=0.9, sweep=8.0)
    done, total = played(slow, 100)
    assert total
    found = predict(done[:3], slow.limit)
    assert found
    assert found.as_is.total_seconds
    assert found.as_is.total_seconds.expected == pytest.approx(total, rel=0.05)
    assert "As it is, it" in in_words(found)
    assert "converge" in in_words(found)


def test_with_skip_on_the_text_has_the_end_without_it() -> None:
    found = judged(replace(SILENT, changed=0.3), rounds=4, skip_after=2)
    assert found.skipping
    text = in_words(found)
    assert text.startswith("70% of what is sent again")
    assert "with skip on, it" in text.lower()


@given(
    st.integers(2_000, 120_000),
    st.floats(0.01, 0.99),
    st.sampled_from([62.5e6, 125e6, 1.25e9]),
    st.sampled_from([0.05, 0.3, 1.0]),
)
def test_what_is_certain_comes_true(pages: int, changed: float, rate: float, limit: float) -> None:
    """Of guests that rewrite all they have in every round."""
    guest = Guest(pages, changed, sweep=1e-9, rate=rate, limit=limit)
    done, total = played(guest, 2)
    found = predict(done, limit) if total is None else None
    if found is None:
        return
    for plan, skip_after in ((found.as_is, None), (found.with_skip, 2)):
        _, real = played(guest, 60, skip_after=skip_after)
        if plan.certain:
            assert plan.converges == (real is not None)
        if plan.total_seconds and real is not None:
            assert plan.total_seconds.low <= real * 1.02
            assert plan.total_seconds.high is None or real <= plan.total_seconds.high * 1.02


@pytest.mark.parametrize("count", [0, 1])
def test_before_the_second_round_there_is_no_forecast(count: int) -> None:
    done, _ = played(SILENT, 2)
    assert predict(done[:count]) is None


def test_without_classified_pages_there_is_no_forecast() -> None:
    done, _ = played(SILENT, 4)
    assert predict([replace(each, fake_pages=None, changed_pages=None) for each in done]) is None


def test_what_was_left_may_be_of_either_kind() -> None:
    """QEMU leaves the end of its memory: if that is where all changes are, none was seen."""
    done, _ = played(Guest(65_000, changed=0.0), 2)
    found = predict(done)
    assert found
    assert found.with_skip.total_seconds
    assert found.with_skip.total_seconds.high is not None
    assert found.with_skip.total_seconds.high > found.with_skip.total_seconds.expected + 0.1


@pytest.mark.parametrize("seen", [0.5, 0.05])
def test_counts_of_invalid_rounds_are_left_out(seen: float) -> None:
    """Half of the events of round 6 were lost: it seems as if a guest that is stopped for less would do."""
    done = [replace(each, dirty_pages=None) for each in played(Guest(60_000, changed=0.5), 6)[0]]
    counts = {
        name: round(seen * (getattr(done[-1], name) or 0))
        for name in ("visited_pages", "changed_pages", "fake_pages", "normal_pages", "left_pages")
    }
    lossy = replace(done[-1], lost_events=9, invalid_reason="9 events lost", **counts)  # type: ignore[arg-type]
    found, without = predict([*done[:-1], lossy], 0.3), predict(done[:-1], 0.3)
    assert found
    assert without
    assert (found.dirty_pages, found.link_rate) == (without.dirty_pages, without.link_rate)
    assert recommendations(found) == recommendations(without)
    assert found.after_round == 6
    bulk = replace(done[0], invalid_reason="9 events lost")
    assert predict([bulk, done[1]], 0.3) is None


def test_a_round_of_no_length_leaves_all_that_it_found() -> None:
    """Its length shows nothing of the guest: the next round has at least what it left."""
    done, _ = played(Guest(60_000, changed=0.5), 6)
    end = done[-1].start_seconds + done[-1].duration_seconds
    short = replace(done[-1], round=7, start_seconds=end, duration_seconds=0.0, visited_pages=0, left_pages=60_000)
    found = predict([*done, replace(short, changed_pages=0, fake_pages=0)], 0.3)
    assert found
    assert not found.as_is.converges
    assert found.dirty_pages == 60_000


def test_the_downtime_has_what_the_last_round_left() -> None:
    """A guest that gets around slowly: at its end most of what is dirty was left, and little is written anew."""
    slow = Guest(60_000, changed=0.9, sweep=8.0)
    done, total = played(slow, 100)
    assert total
    found = predict(done, slow.limit)
    assert found
    assert found.as_is.downtime_seconds
    down = total - done[-1].start_seconds - done[-1].duration_seconds
    assert found.as_is.downtime_seconds.expected == pytest.approx(down, rel=0.2)


def test_pages_that_a_bitmap_sync_adds_within_a_round_are_of_the_working_set() -> None:
    """Round 2 found one dirty page, or none, and compared 100: at least 50 after each of its two syncs."""
    bulk = played(SILENT, 1)[0][0]
    one = replace(
        replace(bulk, round=2, kind=Kind.ITERATIVE, dirty_pages=1, forced_pages=99, visited_pages=100, forced_syncs=1),
        first_pages=0,
        changed_pages=10,
        fake_pages=90,
        normal_pages=100,
        transferred_bytes=100 * PAGE,
        hash_seconds=100 * SILENT.hashing,
    )
    found = predict([bulk, one])
    assert found
    assert found.with_skip.downtime_seconds
    assert found.with_skip.downtime_seconds.high == pytest.approx(PAGE / 125e6 * 10 / 50, rel=0.1)
    found = predict([bulk, replace(one, dirty_pages=0, forced_pages=100)])
    assert found
    assert found.with_skip.downtime_seconds
    assert found.with_skip.downtime_seconds.high == 0


def test_dirtying_between_its_bounds() -> None:
    points = [(1.0, round(10_000 * -math.expm1(-1.0 / 0.7))), (0.2, round(10_000 * -math.expm1(-0.2 / 0.7)))]
    found = fitted(points)
    assert found(0.5) == pytest.approx(10_000 * -math.expm1(-0.5 / 0.7), rel=0.05)
    for seconds in (0.01, 0.2, 0.5, 1.0):
        assert steady(points)(seconds) <= found(seconds) * 1.05
        assert found(seconds) <= saturated(points)(seconds) * 1.05
    # one length of rounds does not show how fast a guest gets around
    assert fitted([(1.0, 500), (1.1, 510)])(0.01) == 510


def test_at_level_stock_the_next_round_says_what_got_dirty() -> None:
    done, _ = played(SILENT, 3)
    unseen = [replace(each, dirty_pages=None, left_pages=None, transferred_bytes=None) for each in done]
    assert [pages for _, pages in dirtying_points(unseen)] == [each.visited_pages for each in done[1:]]
    found = predict(unseen)
    assert found
    assert found.link_rate == pytest.approx(125e6, rel=0.05)
    assert not found.as_is.converges


ENDLESS = Prediction(False, True, None, None, lambda: None)


def ending(seconds: float, certain: bool = True, least: float | None = None) -> Prediction:
    """An end after so many seconds, with the guest stopped for 100 ms, above the least limit."""
    limit = None if least is None else Estimate(least, least, least)
    times = Estimate(seconds, seconds, seconds), Estimate(0.1, 0.1, 0.1)
    return Prediction(True, certain, *times, lambda: limit)


def said(as_is: Prediction, with_skip: Prediction, limit_assumed: bool = False) -> str:
    """1,000 dirty pages take 1 s, the changed half of them 0.5 s, and the limit is 300 ms."""
    return in_words(Forecast(3, False, 0.5, 1000, 1.0, 0.5, 125e6, 0.3, as_is, with_skip, limit_assumed))


def test_what_only_the_expected_case_has_is_not_certain() -> None:
    """Rounds are whole: a case between two others may be the only one that ends, or the only one that does not."""
    end = End(8.0, 0.1)
    for cases, certain in (
        ((end, end, end), True),
        ((end, end, None), False),
        ((None, end, None), False),
        ((None, None, None), True),
        ((end, None, end), False),
    ):
        assert prediction._prediction(cases, lambda: None).certain is certain


@pytest.mark.parametrize(("certain", "word"), [(True, "it converges after"), (False, "it probably converges after")])
def test_what_is_certain_is_said_to_be(certain: bool, word: str) -> None:
    assert word in said(ending(100, certain), ENDLESS)


@pytest.mark.parametrize(
    ("seconds", "words"), [(80, "With skip it would end after 80.0 s in all"), (96, "Skip would gain little.")]
)
def test_a_plan_that_saves_less_than_a_twentieth_gains_little(seconds: float, words: str) -> None:
    assert words in said(ending(100), ending(seconds))


def test_no_number_of_the_text_is_a_false_0() -> None:
    found = replace(judged(Guest(60_000, changed=0.5)), dirty_seconds=0.0004, changed_seconds=0.0003, link_rate=4e5)
    assert "60,000 dirty pages, which take under 1 ms at 400 kB/s, and" in in_words(found)
    assert "those that have changed take under 1 ms" in in_words(found)


@pytest.mark.parametrize("assumed", [True, False])
def test_a_limit_is_named_once(assumed: bool) -> None:
    words = said(ENDLESS, ENDLESS, assumed)
    assert words.count("300 ms") == 1
    assert ("may be stopped for no longer than 300 ms" in words) is not assumed


@pytest.mark.parametrize(
    ("least", "words"),
    [(0.0009, "or any other"), (0.0016, "or any above 2 ms"), (0.042, "or any above 42 ms")],
)
def test_limits_below_a_millisecond_are_none(least: float, words: str) -> None:
    """QEMU's are whole milliseconds."""
    assert words in said(ending(100, least=least), ENDLESS, limit_assumed=True)


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (9.7, 10.3, "10.0 s"),
        (9.4, 10.6, "10.0 s (9.4 s to 10.6 s)"),
        (5.0, 20.0, "10.0 s (5.0 s to 20.0 s)"),
        (5.0, None, "10.0 s (at best 5.0 s)"),
    ],
)
def test_an_estimate_has_its_range_where_that_is_more_than_a_tenth(low: float, high: float | None, words: str) -> None:
    assert estimate_words(Estimate(low, 10.0, high)) == words


@pytest.mark.parametrize(("low", "high"), [(0.0021, None), (0.0018, 0.0024)])
def test_a_range_that_reads_like_the_estimate_is_none(low: float, high: float | None) -> None:
    assert estimate_words(Estimate(low, 0.0021, high)) == "2 ms"


def test_a_round_that_does_not_see_what_it_leaves_is_taken_to_leave_nothing() -> None:
    done, _ = played(SILENT, 3)
    few = [replace(each, dirty_pages=pages, left_pages=None) for each, pages in zip(done, (9, 5, 10), strict=True)]
    assert [pages for _, pages in dirtying_points(few)] == [5, 10]
