"""When a predicted end is overdue and when a later one replaces it, with times worked out by hand.

Made after 5 s, the end is expected after 12 s: after 11 at best, 13 at worst.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from fakedirty.model.forecast import Estimate, Forecast, Prediction, Refutation
from fakedirty.model.forecast_check import ForecastCheck, refuted_by_its_end

ENDING = Prediction(True, True, Estimate(11.0, 12.0, 13.0), Estimate(0.1, 0.1, 0.1), lambda: None)
ENDLESS = Prediction(False, True, None, None, lambda: None)
LIMIT = "300 ms"


def forecast(plan: Prediction = ENDING, after: int = 3, skipping: bool = False) -> Forecast:
    plans = (ENDLESS, plan) if skipping else (plan, ENDLESS)
    return Forecast(after, skipping, 0.5, 1000, 1.0, 0.5, 125e6, 0.3, *plans)


def ending(low: float, expected: float, high: float | None) -> Forecast:
    return forecast(replace(ENDING, total_seconds=Estimate(low, expected, high)))


def checked(*made: tuple[float, Forecast], conditions: object = LIMIT) -> ForecastCheck:
    check = ForecastCheck()
    for now, found in made:
        check.take(found, now, conditions)
    return check


def deadline(check: ForecastCheck) -> float | None:
    """The time in seconds, to a tenth, after which the predicted end is overdue; None if none is."""
    times = (tenth / 10 for tenth in range(2_000))
    return next((round(now - 0.1, 1) for now in times if check.refutation(forecast(), now) is not None), None)


def test_an_end_is_overdue_after_twice_the_time_at_worst_and_a_second() -> None:
    """5 + 2 * (13 - 5) + 1 = 22 s."""
    check = checked((5.0, forecast()))
    assert check.refutation(forecast(), 22.0) is None
    assert check.refutation(forecast(), 22.01) == Refutation(3, Estimate(11.0, 12.0, 13.0))


def test_without_a_worst_end_the_expected_one_counts() -> None:
    """5 + 2 * (12 - 5) + 1 = 20 s."""
    assert deadline(checked((5.0, ending(11.0, 12.0, None)))) == 20.0


def test_a_forecast_without_an_end_is_not_refuted() -> None:
    check = checked((5.0, forecast()))
    assert check.refutation(forecast(ENDLESS), 60.0) is None
    assert check.refutation(forecast(), 60.0) is not None


def test_the_plan_of_the_mode_that_is_on_counts() -> None:
    check = checked((5.0, forecast(skipping=True)))
    assert check.refutation(forecast(skipping=True), 22.01) is not None
    assert ForecastCheck().refutation(forecast(), 1e9) is None


@pytest.mark.parametrize(
    ("now", "later", "expected"),
    [
        (6.0, (9.0, 10.0, 11.0), 17.0),  # an earlier end replaces it: 6 + 2 * (11 - 6) + 1
        (10.5, (10.8, 10.9, 11.0), 12.5),  # 5 + 0.8 * 7 = 10.6: still in time
        (10.7, (10.8, 10.9, 11.0), 22.0),  # too late
        (6.0, (14.0, 14.1, 14.2), 23.4),  # a later end than the worst: 6 + 2 * (14.2 - 6) + 1
        (6.0, (12.0, 13.0, 19.0), 22.0),  # one that the worst case allowed for
        (10.7, (14.0, 14.1, 14.2), 22.0),
    ],
)
def test_another_end_replaces_it_in_time(now: float, later: tuple[float, float, float], expected: float) -> None:
    assert deadline(checked((5.0, forecast()), (now, ending(*later)))) == expected


def test_an_end_is_put_off_twice() -> None:
    """6 + 2 * (20 - 6) + 1 = 35 s; 7 + 2 * (30 - 7) + 1 = 54 s; the third time is one too many."""
    twice = [(5.0, forecast()), (6.0, ending(19.0, 19.5, 20.0)), (7.0, ending(29.0, 29.5, 30.0))]
    assert deadline(checked(*twice[:2])) == 35.0
    assert deadline(checked(*twice)) == 54.0
    assert deadline(checked(*twice, (8.0, ending(39.0, 39.5, 40.0)))) == 54.0


def test_an_end_that_is_taken_back_in_time() -> None:
    assert deadline(checked((5.0, forecast()), (10.5, forecast(ENDLESS)))) is None
    assert deadline(checked((5.0, forecast()), (10.7, forecast(ENDLESS)))) == 22.0


def test_three_forecasts_without_an_end_take_it_back_at_any_time() -> None:
    without = [(now, forecast(ENDLESS)) for now in (15.0, 16.0, 17.0)]
    assert deadline(checked((5.0, forecast()), *without[:2])) == 22.0
    assert deadline(checked((5.0, forecast()), *without)) is None
    between = (15.5, forecast())
    assert deadline(checked((5.0, forecast()), without[0], between, *without[1:])) == 22.0, "not in a row"


def test_an_end_taken_back_counts_as_put_off() -> None:
    """It can be taken back twice in time: the third end stays."""
    made = [(5.0, forecast()), (6.0, forecast(ENDLESS))] * 2
    assert deadline(checked(*made)) is None
    assert deadline(checked(*made, *made[:2])) == 22.0


def test_with_other_conditions_it_begins_anew() -> None:
    check = checked((5.0, forecast()))
    check.take(ending(19.0, 19.5, 20.0), 15.0, "20 ms")
    assert deadline(check) == 26.0
    check.take(forecast(skipping=True), 16.0, "20 ms")
    assert check.refutation(forecast(skipping=True), 16.0 + 2 * (13.0 - 16.0) + 1.1) is not None
    check.take(None, 17.0, "nothing")
    check.take(forecast(ENDLESS), 18.0, LIMIT)
    assert deadline(check) is None


def test_if_nothing_else_is_known_qemu_counts_what_sending_takes() -> None:
    assert (forecast().counted_ratio, forecast().limit_assumed, forecast().refuted) == (1.0, False, None)


def test_a_migration_that_completes_refutes_a_forecast_without_an_end() -> None:
    assert refuted_by_its_end(forecast()) is None
    assert refuted_by_its_end(forecast(ENDLESS, after=7)) == Refutation(7, None)
