"""What would make a migration end: the verdict's model turned round.

For each plan, the same simulations find the least bandwidth, the least downtime limit and the least throttle with which
the plan ends. They are searched on demand, from the values that certainly do downwards.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from .forecast import Estimate, Forecast, Prediction
from .round import Round
from .simulation import Scenario, Wire, least, simulate

FASTEST = 50e9  # bytes a second, 400 Gbit/s: nothing faster is tried
RATES_HALVED = 20  # times: down to 48 kB/s
MOST_THROTTLE = 0.99  # of the CPU time of a guest: QEMU's `max-cpu-throttle` is at most 99
SLOWDOWNS_HALVED = 7  # times, from 100 to below 1
MOST_APART = 4.0  # the worst case by the expected one: further apart, the rounds do not carry a value
LONGEST_LIMIT_SECONDS = 2000.0  # QEMU accepts no longer downtime limit


@dataclass(frozen=True, slots=True)
class Recommendation:
    """What one plan needs to end: any one of these. Each is None where the rounds show nothing that would do.

    Attributes:
        bandwidth_bytes_per_second: the least rate of the migration, by QEMU's count of bytes, with the downtime limit
            as it is.
        downtime_limit_seconds: the least downtime limit, with the bandwidth as it is.
        throttle_ratio: the least share of CPU time to be taken from the guest, from 0 to 0.99, as auto-converge does;
            with bandwidth and limit as they are.
    """

    bandwidth_bytes_per_second: Estimate | None = None
    downtime_limit_seconds: Estimate | None = None
    throttle_ratio: Estimate | None = None


@dataclass(frozen=True, slots=True)
class Recommendations:
    """What each plan needs."""

    as_is: Recommendation
    with_skip: Recommendation


def recommendations(found: Forecast) -> Recommendations | None:
    """What each plan of a forecast needs to end.

    Returns:
        None where nothing is recommended: the plan in force ends as it is, or the forecast is refuted.
    """
    if found.refuted is not None or found.in_force.converges:
        return None
    return Recommendations(_of_plan(found, found.as_is), _of_plan(found, found.with_skip))


def least_bandwidth(scenario: Scenario | None, last: Round, limit: float, skip: bool, wire: Wire) -> float | None:
    """The least bandwidth, in bytes a second, from which on the migration ends.

    Args:
        scenario: the assumptions, of which those on the link are replaced; None for a worst case without any end.
        last: the last round that ended.
        limit: downtime limit in seconds.
        skip: whether skip mode is on from now on.
        wire: what a page takes.

    Returns:
        None if it ends with no bandwidth up to `FASTEST`.
    """
    if scenario is None:
        return None

    def ends(rate: float) -> bool:
        linked = replace(scenario, sending=wire.sending(rate), counting=wire.counting(rate))
        return simulate(linked, last, 0.0, limit, skip) is not None

    return least(ends, FASTEST, RATES_HALVED) or FASTEST / 2**RATES_HALVED if ends(FASTEST) else None


def least_throttle(scenario: Scenario | None, last: Round, limit: float, skip: bool) -> float | None:
    """The least throttle from which on the migration ends: the share of CPU time that is taken from the guest.

    A guest that gets half of the time dirties in two seconds what it would have dirtied in one.

    Args:
        scenario: the assumptions; None for a worst case without any end.
        last: the last round that ended, without that throttle.
        limit: downtime limit in seconds.
        skip: whether skip mode is on from now on.

    Returns:
        From 0 to `MOST_THROTTLE`; None if it does not end even with that.
    """
    if scenario is None:
        return None

    def ends(slowdown: float) -> bool:
        slowed = replace(scenario, dirtying=lambda seconds: scenario.dirtying(seconds / slowdown))
        # the pages that are dirty now were dirtied at full speed
        before = replace(last, duration_seconds=last.duration_seconds * slowdown)
        return simulate(slowed, before, 0.0, limit, skip) is not None

    most = 1 / (1 - MOST_THROTTLE)
    return max(0.0, 1 - 1 / max(1.0, least(ends, most, SLOWDOWNS_HALVED))) if ends(most) else None


def _of_plan(found: Forecast, plan: Prediction) -> Recommendation:
    """What a plan needs: more than there is now, or no more than that if it would end so."""
    bandwidth, limit = _carried(plan.least_bandwidth), _carried(plan.least_limit_seconds)
    throttle = plan.least_throttle  # at worst none is enough
    if plan.converges:  # rounds are whole: it may end with what there is, and not with a little more
        if bandwidth is not None and bandwidth.expected > found.link_rate:
            bandwidth = None
        if limit is not None and limit.expected > found.downtime_limit_seconds:
            limit = None
        return Recommendation(bandwidth, limit)
    if bandwidth is not None and bandwidth.expected <= found.link_rate:
        bandwidth = None
    if limit is not None and not found.downtime_limit_seconds < limit.expected <= LONGEST_LIMIT_SECONDS:
        limit = None
    if throttle is not None and throttle.expected <= 0:
        throttle = None
    return Recommendation(bandwidth, limit, throttle)


def _carried(of: Estimate | None) -> Estimate | None:
    """An estimate, if its worst case is known and not far from what is expected."""
    return None if of is None or of.high is None or of.high > MOST_APART * of.expected else of
