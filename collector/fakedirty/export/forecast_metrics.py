"""The metrics of what is expected of a migration: verdict, recommendation, progress, stall, and dirty rates."""

from __future__ import annotations

from fakedirty.model.dirty_rate import BLOCKS_SHOWN

from . import readers, standing_readers
from .metric import G, Metric
from .recommended import recommended

FORECAST_METRICS = (
    Metric(
        "fakedirty_verdict_unchanged_ratio",
        G,
        (),
        "Share of what the last migration sends again that has not changed.",
        readers.unchanged_ratio,
    ),
    Metric(
        "fakedirty_verdict_converges",
        G,
        ("plan",),
        "Verdict on the last migration: 1 if it is expected to converge, as it is and with skip. Not there, like all "
        "that is predicted, while the verdict is refuted.",
        readers.converges,
    ),
    Metric(
        "fakedirty_verdict_total_time_seconds",
        G,
        ("plan", "estimate"),
        "Total time that is predicted for plans that converge: low, expected, and high if there is an end at worst.",
        readers.total_times,
    ),
    Metric(
        "fakedirty_verdict_downtime_seconds",
        G,
        ("plan", "estimate"),
        "Downtime that is predicted, in the same way.",
        readers.downtimes,
    ),
    Metric(
        "fakedirty_verdict_least_limit_seconds",
        G,
        ("plan", "estimate"),
        "Downtime limit from which on a plan is predicted to converge, in the same way.",
        readers.least_limits,
    ),
    Metric(
        "fakedirty_verdict_limit_seconds",
        G,
        ("source",),
        "Downtime limit that the verdict goes by: as qemu has it, or assumed where it could not be read.",
        readers.limit,
    ),
    Metric(
        "fakedirty_verdict_refuted",
        G,
        (),
        "1 if the verdict is withdrawn: an end that was predicted has passed, or one has come that was not.",
        readers.refuted,
    ),
    Metric(
        "fakedirty_recommended_bandwidth_bytes_per_second",
        G,
        ("plan", "estimate"),
        "Least bandwidth with which a plan is predicted to converge, with the downtime limit as it is. Not there, like "
        "all that is recommended, where the plan in force converges, and where nothing that is known would do.",
        recommended("bandwidth_bytes_per_second"),
    ),
    Metric(
        "fakedirty_recommended_downtime_limit_seconds",
        G,
        ("plan", "estimate"),
        "Least downtime limit with which a plan is predicted to converge, with the bandwidth as it is.",
        recommended("downtime_limit_seconds"),
    ),
    Metric(
        "fakedirty_recommended_throttle_ratio",
        G,
        ("plan", "estimate"),
        "Least share of CPU time to be taken from the guest with which a plan is predicted to converge, 0 to 0.99.",
        recommended("throttle_ratio"),
    ),
    Metric(
        "fakedirty_progress_ratio",
        G,
        (),
        "Share of the expected total time that has passed, from 0 to 1: it never falls in a migration, and is 1 only "
        "when it has completed. Not there before an end has been predicted.",
        standing_readers.progress_ratio,
    ),
    Metric(
        "fakedirty_time_left_seconds",
        G,
        ("estimate",),
        "Time to the predicted end, counting down: low, expected, and high if there is an end at worst; 0 where it has "
        "passed. Not there where no end is predicted, and while the guest is stopped.",
        standing_readers.time_left,
    ),
    Metric(
        "fakedirty_stalled_rounds",
        G,
        (),
        "Rounds in a row that left as much as the first of them found, if they are a stall (three or more); else 0. "
        "Not there where rounds cannot be compared.",
        standing_readers.stalled_rounds,
    ),
    Metric(
        "fakedirty_dirty_rate_pages_per_second",
        G,
        (),
        "Pages that got dirty in a second of the last rounds. A page counts once in a round.",
        standing_readers.dirty_rates,
    ),
    Metric(
        "fakedirty_block_dirty_rate_pages_per_second",
        G,
        ("block",),
        f"The same by RAM block, with page records only: the {BLOCKS_SHOWN} that got dirty most, and the sum of the "
        "others.",
        standing_readers.block_dirty_rates,
    ),
    Metric(
        "fakedirty_vcpu_dirty_rate_bytes_per_second",
        G,
        ("vcpu",),
        f"Bytes that a vCPU dirties in a second, for the first {standing_readers.VCPUS_SHOWN} vCPUs. Only there if the "
        "capability dirty-limit is on: QEMU measures them then.",
        standing_readers.vcpu_dirty_rates,
    ),
)
