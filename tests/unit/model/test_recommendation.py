"""What is recommended: the verdict's model turned round, with numbers worked out by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from fakedirty.model import prediction
from fakedirty.model.events import LimitsRead, RoundEnded
from fakedirty.model.forecast import Estimate, Forecast, Prediction, Refutation
from fakedirty.model.prediction import predict
from fakedirty.model.recommendation import (
    FASTEST,
    Recommendation,
    Recommendations,
    least_bandwidth,
    least_throttle,
    recommendations,
)
from fakedirty.model.round import Round
from fakedirty.model.simulation import Scenario, Wire
from fakedirty.model.working_set import Dirtying, depend_on_time, fitted
from hypothesis import given
from hypothesis import strategies as st
from made_migrations import SECOND, START, made
from made_scenarios import LAST, SKIPPING, always, rate, scenario
from played_guests import Guest, played

WHOLE = Wire(4096)
SILENT = Guest(65_000, changed=0.08)
WITHIN = 1 + 1 / 64  # of the least value


def guest(dirtying: Dirtying, changed: float = 1.0, hashing: float = 0.0) -> Scenario:
    return scenario(dirtying, changed, hashing)


@pytest.mark.parametrize(
    ("of", "last", "skip", "wire", "expected"),
    [
        (guest(always(1000)), LAST, False, WHOLE, 8.192e6),
        (guest(always(1000)), LAST, False, Wire(1024), 8.192e6),
        (guest(always(1000)), LAST, False, Wire(4096, switchover_rate=9e6), 0.0),
        (guest(always(1000)), LAST, False, Wire(4096, switchover_rate=8e6), None),
        (guest(always(1000), changed=0.25, hashing=1e-4), SKIPPING, True, WHOLE, 2.56e6),
        (guest(always(1000), changed=0.25, hashing=6e-4), SKIPPING, True, WHOLE, None),
        (guest(always(0)), LAST, False, WHOLE, 0.0),
        (None, LAST, False, WHOLE, None),
    ],
    ids=[
        "all pages, 4,096,000 bytes in half a second",
        "QEMU counts whole pages, whatever they take",
        "QEMU goes by a rate that was set, 455 ms: any link will do",
        "by that rate they take 512 ms: no link will do",
        "a quarter, 1,024,000 bytes, in the 400 ms that hashing leaves",
        "hashing takes 600 ms",
        "nothing is dirty",
        "a worst case without any end",
    ],
)
def test_the_least_bandwidth(of: Scenario | None, last: Round, skip: bool, wire: Wire, expected: float | None) -> None:
    """1,000 pages, and a limit of half a second."""
    found = least_bandwidth(of, last, 0.5, skip, wire)
    if not expected:
        assert found == (None if expected is None else FASTEST / 2**20)
    else:
        assert found is not None
        assert expected <= found <= expected * WITHIN


def test_with_more_bandwidth_rounds_are_shorter_and_the_guest_dirties_less() -> None:
    """500 pages a second are 2.048 MB: a round has to be a hundredth shorter than the one before. So 2.069 MB/s."""
    found = least_bandwidth(guest(rate(500)), LAST, 0.05, False, WHOLE)
    assert found is not None
    assert 2.048e6 / 0.99 <= found <= 2.048e6 / 0.99 * WITHIN


@pytest.mark.parametrize(
    ("of", "limit", "expected"),
    [
        (guest(rate(2000)), 0.05, 1 - 0.99 / 2),
        (guest(rate(98_000)), 0.05, 1 - 0.99 / 98),
        (guest(rate(100_000)), 0.05, None),
        (guest(always(1000)), 0.5, None),
        (guest(always(1000)), 1.0, 0.0),
        (guest(rate(900)), 0.05, 0.0),
        (None, 1.0, None),
    ],
    ids=[
        "twice as many pages as the link takes",
        "98 times as many: just 99%",
        "100 times as many: too many for 99%",
        "all pages at once, however slow it is",
        "they fit",
        "it ends as it is",
        "a worst case without any end",
    ],
)
def test_the_least_throttle(of: Scenario | None, limit: float, expected: float | None) -> None:
    """1,000 pages a second are sent. A round has to be a hundredth shorter than the one before."""
    found = least_throttle(of, LAST, limit, skip=False)
    if not expected:
        assert found == expected
    else:
        assert found is not None
        assert expected <= found <= 1 - (1 - expected) / WITHIN


def test_pages_that_are_dirty_already_were_dirtied_at_full_speed() -> None:
    """1,000 pages are dirty after a tenth of a second. At half the speed they are still 1,000, and no end at once.

    The limit of 500 ms leaves 450 of them in a round. It sends 550, and meanwhile 5,500 x (1 - t) get dirty: a tenth of
    the speed and a little less is what makes that fewer than 550.
    """
    found = least_throttle(guest(rate(10_000)), replace(LAST, duration_seconds=0.1), 0.5, skip=False)
    assert found is not None
    assert 0.9 < found < 0.915


def needed(rounds: list[Round], limit: float = 0.3, compressed: bool | None = None) -> Recommendations:
    forecast = predict(rounds, limit, compressed=compressed)
    assert forecast
    found = recommendations(forecast)
    assert found
    return found


def test_of_a_guest_that_rewrites_silently() -> None:
    """65,000 pages in 300 ms are 887 MB/s, or 2.15 s at 123.7 MB/s.

    5,200 have changed: 71.0 MB/s, or with 20 ms of hashing 76.0 MB/s; 172 ms and these 20.
    """
    found = needed(played(SILENT, 4)[0])
    plain, skip = found.as_is, found.with_skip
    assert plain.bandwidth_bytes_per_second
    assert plain.downtime_limit_seconds
    assert skip.bandwidth_bytes_per_second
    assert skip.downtime_limit_seconds
    assert plain.bandwidth_bytes_per_second.expected == pytest.approx(887e6, rel=0.016)
    assert plain.downtime_limit_seconds.expected == pytest.approx(2.15, rel=0.016)
    assert skip.bandwidth_bytes_per_second.expected == pytest.approx(76.0e6, rel=0.016)
    assert skip.downtime_limit_seconds.expected == pytest.approx(0.192, rel=0.016)
    for each in (plain, skip):
        assert each.bandwidth_bytes_per_second
        assert each.bandwidth_bytes_per_second.low < each.bandwidth_bytes_per_second.expected
        assert each.throttle_ratio is None, "all pages in every round, however long: nothing shows a slower guest"


@given(
    st.integers(20_000, 120_000),
    st.floats(0.05, 0.99),
    st.sampled_from([31.25e6, 62.5e6]),
    st.sampled_from([0.1, 0.3, 1.0]),
)
def test_the_least_bandwidth_is_where_the_end_begins(pages: int, changed: float, link: float, limit: float) -> None:
    """Held against guests that are played with bandwidths above and below it."""
    of = Guest(pages, changed, sweep=1e-9, rate=link, limit=limit, hashing=1e-12)
    rounds, total = played(of, 3)
    if total is not None:
        return
    found = predict(rounds, limit)
    assert found is not None
    for plan, skip_after in ((found.as_is, None), (found.with_skip, 2)):
        assert plan.least_bandwidth is not None
        least = plan.least_bandwidth.expected
        for bandwidth, converges in ((0.95 * least, False), (1.05 * least, True)):
            _, total = played(replace(of, rate=bandwidth), 60, skip_after=skip_after)
            assert (total is not None) is converges


SLOW = Guest(16_000_000, changed=0.1, sweep=100.0)  # 160,000 pages a second, 5.25 times what the link takes


def test_a_throttle_needs_rounds_that_show_a_guest_that_dirties_less_in_less_time() -> None:
    """Between two rounds of 4.3 s and 22.6 s 5.25 times as many pages: more than 1 - 0.99 / 5.25 = 81%."""
    assert needed(played(SLOW, 2)[0]).as_is.throttle_ratio is None
    found = needed(played(SLOW, 3)[0]).as_is.throttle_ratio
    assert found
    assert 0.81 < found.low <= found.expected < 0.84
    assert found.high is None, "the guest may as well dirty all its pages at once"


@pytest.mark.parametrize(
    ("points", "shown"),
    [
        ([(1.0, 100.0)], False),
        ([(1.0, 50.0), (1.4, 70.0)], False),
        ([(1.0, 50.0), (1.6, 80.0)], True),
        ([(1.0, 100.0), (4.0, 100.0)], False),
        ([(1.0, 89.0), (40.0, 100.0)], True),
        ([(1.0, 95.0), (40.0, 100.0)], False),
    ],
)
def test_whether_pages_depend_on_time(points: list[tuple[float, float]], shown: bool) -> None:
    assert depend_on_time(points, fitted(points)) is shown


@pytest.mark.parametrize(("wire", "compressed", "there"), [
    (4104, None, True), (4104, False, True), (1400, None, False), (1400, False, True), (1400, True, False)
])  # fmt: skip
def test_no_bandwidth_where_the_compressor_may_be_what_is_slow(wire: int, compressed: bool | None, there: bool) -> None:
    """XBZRLE sends small pages too; there multifd is known not to compress."""
    found = needed(played(replace(SILENT, wire=wire), 3)[0], compressed=compressed)
    assert (found.as_is.bandwidth_bytes_per_second is not None) is there
    assert found.as_is.downtime_limit_seconds is not None


def forecast(**members: object) -> Forecast:
    found = predict(played(SILENT, 3)[0], 0.3)
    assert found
    return replace(found, **members)  # type: ignore[arg-type]


def test_nothing_is_recommended_where_it_ends_or_a_verdict_did_not_come_true() -> None:
    assert recommendations(forecast())
    assert recommendations(forecast(skipping=True)) is None, "with skip it converges, and skip is on"
    assert recommendations(forecast(refuted=Refutation(2, None))) is None
    assert recommendations(forecast(as_is=forecast().with_skip)) is None


def of_value(value: float | None) -> Estimate | None:
    return None if value is None else Estimate(value, value, value)


@pytest.mark.parametrize(
    ("limit", "bandwidth", "throttle", "kept"),
    [
        (0.31, 125e6, 0.01, (True, True, True)),
        (0.3, 123e6, 0.0, (False, False, False)),
        (2000.0, None, None, (True, False, False)),
        (2000.1, None, None, (False, False, False)),
        (None, None, None, (False, False, False)),
    ],
)
def test_what_is_there_already_would_not_do(
    limit: float | None, bandwidth: float | None, throttle: float | None, kept: tuple[bool, ...]
) -> None:
    """The link has 124 MB/s, the limit is 300 ms, and QEMU takes no limit above 2,000 s."""
    plan = Prediction(False, True, None, None, *(lambda of=of: of_value(of) for of in (limit, bandwidth, throttle)))
    found = recommendations(forecast(as_is=plan, link_rate=124e6))
    assert found
    own = found.as_is
    values = own.downtime_limit_seconds, own.bandwidth_bytes_per_second, own.throttle_ratio
    assert tuple(value is not None for value in values) == kept


@pytest.mark.parametrize(("high", "there"), [(4.0, True), (4.1, False), (None, False)])
def test_what_may_be_four_times_as_much_is_not_recommended(high: float | None, there: bool) -> None:
    of = Estimate(0.5, 1.0, high)
    found = recommendations(forecast(as_is=Prediction(False, True, None, None, lambda: of)))
    assert found
    assert found.as_is.downtime_limit_seconds == (of if there else None)


def test_a_plan_that_ends_needs_no_throttle_and_may_need_less_than_there_is() -> None:
    ends = Prediction(
        *(True, True, Estimate(8.0, 8.0, 8.0), Estimate(0.1, 0.1, 0.1)),
        *(lambda of=of: of_value(of) for of in (0.2, 60e6, 0.0)),
    )
    found = recommendations(forecast(with_skip=ends))
    assert found
    assert found.with_skip == Recommendation(of_value(60e6), of_value(0.2), None)


@pytest.mark.parametrize(("limit", "bandwidth", "kept"), [(0.3, 124e6, True), (0.31, 125e6, False)])
def test_a_plan_that_ends_needs_no_more_than_there_is(limit: float, bandwidth: float, kept: bool) -> None:
    """It ends with 300 ms and 124 MB/s, because rounds are whole; a little above these it may not."""
    ends = Prediction(
        *(True, True, Estimate(8.0, 8.0, 8.0), Estimate(0.1, 0.1, 0.1)),
        *(lambda of=of: of_value(of) for of in (limit, bandwidth, 0.0)),
    )
    found = recommendations(forecast(with_skip=ends, link_rate=124e6))
    assert found
    assert found.with_skip == (Recommendation(of_value(bandwidth), of_value(limit)) if kept else Recommendation())


def test_it_is_searched_once_and_not_before_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three times for each plan: at best, expected, at worst."""
    calls = {"bandwidth": 0, "throttle": 0}
    find_bandwidth, find_throttle = prediction.least_bandwidth, prediction.least_throttle

    def counted_bandwidth(*given: object) -> float | None:
        calls["bandwidth"] += 1
        return find_bandwidth(*given)  # type: ignore[arg-type]

    def counted_throttle(*given: object) -> float | None:
        calls["throttle"] += 1
        return find_throttle(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(prediction, "least_bandwidth", counted_bandwidth)
    monkeypatch.setattr(prediction, "least_throttle", counted_throttle)
    found = predict(played(SLOW, 3)[0], 0.3)
    assert found
    assert calls == {"bandwidth": 0, "throttle": 0}
    first = recommendations(found)
    assert calls == {"bandwidth": 6, "throttle": 6}
    assert recommendations(replace(found, limit_assumed=True)) == first
    assert calls == {"bandwidth": 6, "throttle": 6}


def test_a_limit_that_rises_is_followed_in_the_same_round() -> None:
    """A ramp from 150 ms to 1,050 ms, a step for each round: 20,000 pages are 81.92 MB, or 662 ms at 123.7 MB/s."""
    rounds, _ = played(Guest(20_000, changed=1.0, limit=1e-3), 20)
    migration = made()
    shown = {}
    for each, limit_ms in zip(rounds, range(150, 1051, 50), strict=False):
        end = START + round((each.start_seconds + each.duration_seconds) * SECOND)
        migration.apply(RoundEnded(end, each))
        migration.apply(LimitsRead(end, limit_ms))
        if (found := migration.forecast) is not None:
            shown[limit_ms] = recommendations(found)
    assert list(shown) == list(range(200, 1051, 50)), "none after a single round"
    for limit_ms, found_then in shown.items():
        assert (found_then is None) is (limit_ms > 680)
        if found_then is not None:
            bandwidth, limit = found_then.as_is.bandwidth_bytes_per_second, found_then.as_is.downtime_limit_seconds
            assert bandwidth
            assert bandwidth.expected == pytest.approx(81.92e6 / (limit_ms / 1e3), rel=0.016)
            assert limit
            assert limit.expected == pytest.approx(0.662, rel=0.016)


def test_more_pages_than_any_link_takes() -> None:
    """Ten million pages, 41 GB, in half a second are 82 GB/s; at the fastest link they are 0.82 s."""
    ten_million = guest(always(1e7))
    assert least_bandwidth(ten_million, LAST, 0.5, False, WHOLE) is None
    found = least_bandwidth(ten_million, LAST, 1.0, False, WHOLE)
    assert found is not None
    assert math.isclose(found, 40.96e9, rel_tol=0.016)
