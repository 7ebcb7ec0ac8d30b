"""Every metric of a VM, as a table: its name, type, labels, help, and how it is read from migrations.

A value that the source cannot see is not exported, never 0. A ratio is two counters.
"""

from __future__ import annotations

from dataclasses import dataclass

from fakedirty.model.dirty_rate import BLOCKS_SHOWN
from fakedirty.model.round import CLASSES, DISPOSITIONS
from fakedirty.model.skip_economy import LAST_ROUNDS

from . import readers, standing_readers
from .downtime_readers import downtime_parts
from .families import Description
from .readers import ByRound, EachRound, EachToggle, Read, by_round, column, columns, latest, reported_ms
from .recommended import recommended
from .tracked_migration import ROUNDS_SHOWN


@dataclass(frozen=True, slots=True)
class Metric(Description):
    """One family. `labels` come after ``vm``, which every metric of a VM has; `read` gives the values.

    The values of a counter are added up over the migrations of a VM; a gauge is of the last migration alone. A
    histogram reads single observations and counts them in `buckets` (upper bounds, without infinity).
    """

    read: Read | EachRound | EachToggle | ByRound
    buckets: tuple[float, ...] = ()


C, G, H = "counter", "gauge", "histogram"

ESTIMATED = "; with multifd an estimate, as they may be compressed"

METRICS = (
    Metric("fakedirty_pages_total", C, ("class",), "Visited pages by class: first, changed, fake.", columns(CLASSES)),
    Metric(
        "fakedirty_page_dispositions_total",
        C,
        ("disposition",),
        "Visited pages by what became of them: normal, zero, xbzrle, unchanged, skipped.",
        columns(DISPOSITIONS),
    ),
    Metric(
        "fakedirty_visited_pages_total", C, (), "Dirty pages whose content was considered.", column("visited_pages")
    ),
    Metric("fakedirty_hinted_pages_total", C, (), "Pages cleared by free-page hinting.", column("hinted_pages")),
    Metric("fakedirty_transferred_bytes_total", C, (), "Bytes sent, as QEMU counts them.", column("transferred_bytes")),
    Metric(
        "fakedirty_saved_bytes_total",
        C,
        (),
        f"Bytes that skipped pages would have cost{ESTIMATED}.",
        column("saved_bytes"),
    ),
    Metric(
        "fakedirty_hash_seconds_total",
        C,
        (),
        "Time spent on copying and hashing pages; with multifd the sum over its channels, which do so at once.",
        column("hash_seconds"),
    ),
    Metric("fakedirty_round_seconds_total", C, (), "Time spent in finished rounds.", column("duration_seconds")),
    Metric("fakedirty_forced_syncs_total", C, (), "Bitmap syncs within rounds.", column("forced_syncs")),
    Metric(
        "fakedirty_rounds_total", C, ("kind",), "Finished rounds: bulk, iterative, switchover.", readers.one_by_kind
    ),
    Metric(
        "fakedirty_invalid_rounds_total", C, (), "Finished rounds whose counts cannot be believed.", readers.invalid
    ),
    Metric(
        "fakedirty_lost_events_total", C, ("where",), "Events that never reached the collector.", readers.lost_events
    ),
    Metric("fakedirty_toggles_total", C, ("mode",), "Modes that QEMU adopted, by the new mode.", readers.one_by_mode),
    Metric(
        "fakedirty_migrations_total",
        C,
        ("outcome",),
        "Migrations that are over: completed, failed, cancelled, or unfinished if the end was not observed.",
        readers.over,
    ),
    Metric(
        "fakedirty_round_time_seconds",
        H,
        ("kind",),
        "Duration of finished rounds.",
        readers.seconds_by_kind,
        buckets=(0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300),
    ),
    Metric(
        "fakedirty_round_fake_ratio",
        H,
        ("kind",),
        "Share of fake pages among the visited pages of finished rounds.",
        readers.fake_ratio_by_kind,
        buckets=(0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1),
    ),
    Metric(
        "fakedirty_downtime_seconds",
        H,
        (),
        "Downtime of migrations, as query-migrate reports it.",
        reported_ms("downtime"),
        buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10),
    ),
    Metric(
        "fakedirty_mode",
        "stateset",
        ("fakedirty_mode",),
        "State set of fake-dirty-mode: 1 for the one in force.",
        readers.mode,
    ),
    Metric(
        "fakedirty_migration_info", "info", ("migration_id", "level"), "1 for the last migration.", readers.identity
    ),
    Metric("fakedirty_migration_active", G, (), "1 while the last migration runs.", readers.active),
    Metric(
        "fakedirty_migration_valid", G, (), "1 if the last migration is valid, so far or as a whole.", readers.valid
    ),
    Metric(
        "fakedirty_migration_start_time_seconds", G, (), "Start of the last migration, Unix time.", readers.start_time
    ),
    Metric(
        "fakedirty_migration_duration_seconds",
        G,
        (),
        "Total time of the last migration, as query-migrate reports it.",
        reported_ms("total-time"),
    ),
    Metric(
        "fakedirty_migration_downtime_seconds",
        G,
        (),
        "Downtime of the last migration, as query-migrate reports it.",
        reported_ms("downtime"),
    ),
    Metric(
        "fakedirty_migration_outside_downtime_seconds",
        G,
        (),
        "Downtime of the last migration as seen by eBPF, where its destination is on this host.",
        readers.outside_downtime,
    ),
    Metric(
        "fakedirty_downtime_part_seconds",
        G,
        ("part",),
        "Where the downtime of the last migration went, by part; devices are added up. Each moment counts once, and "
        "unexplained is the rest. Only where parts were seen.",
        downtime_parts,
    ),
    Metric(
        "fakedirty_migration_postcopy_start_seconds",
        G,
        (),
        "When postcopy was seen to be active, from the start of the last migration: its rounds end there.",
        readers.postcopy_start,
    ),
    Metric(
        "fakedirty_migration_postcopy_duration_seconds",
        G,
        (),
        "How long postcopy of the last migration took, once it is over.",
        readers.postcopy_duration,
    ),
    Metric(
        "fakedirty_migration_postcopy_left_pages",
        G,
        (),
        "Pages of the last migration that were left to postcopy, by QEMU's history of rounds, once it is over.",
        readers.postcopy_left,
    ),
    Metric(
        "fakedirty_skip_hash_seconds",
        G,
        (),
        f"Time that copying and hashing took in the last {LAST_ROUNDS} rounds in which pages could be skipped: with "
        "multifd the sum over its channels by their number. Not there where QEMU did not say whether multifd is on.",
        readers.skip_cost,
    ),
    Metric(
        "fakedirty_skip_saved_seconds",
        G,
        (),
        "What sending the pages that were skipped in these rounds would have taken, at the speed of the fastest round.",
        readers.skip_gain,
    ),
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
    Metric(
        "fakedirty_dirty_pages", G, (), "Dirty pages at the start of the last finished round.", latest("dirty_pages")
    ),
    Metric("fakedirty_left_pages", G, (), "Pages still dirty after the last finished round.", latest("left_pages")),
    Metric(
        "fakedirty_round_pages",
        G,
        ("round", "class"),
        f"Visited pages by class in each of the last {ROUNDS_SHOWN} rounds of the last migration.",
        by_round(columns(CLASSES)),
    ),
    Metric(
        "fakedirty_round_page_dispositions",
        G,
        ("round", "disposition"),
        f"Visited pages by what became of them in each of the last {ROUNDS_SHOWN} rounds of the last migration.",
        by_round(columns(DISPOSITIONS)),
    ),
    Metric(
        "fakedirty_rounds_not_shown",
        G,
        (),
        f"Rounds of the last migration without series of their own: those before the last {ROUNDS_SHOWN}, or all where "
        "enough other VMs migrate, or have migrated since.",
        readers.rounds_not_shown,
    ),
    Metric("fakedirty_round_dirty_pages", G, ("round",), "Dirty pages of each round.", by_round(column("dirty_pages"))),
    Metric("fakedirty_round_left_pages", G, ("round",), "Left pages of each round.", by_round(column("left_pages"))),
    Metric(
        "fakedirty_round_transferred_bytes",
        G,
        ("round",),
        "Bytes sent in each round.",
        by_round(column("transferred_bytes")),
    ),
    Metric(
        "fakedirty_round_saved_bytes",
        G,
        ("round",),
        f"Bytes saved in each round{ESTIMATED}.",
        by_round(column("saved_bytes")),
    ),
    Metric(
        "fakedirty_round_duration_seconds",
        G,
        ("round",),
        "Duration of each round.",
        by_round(column("duration_seconds")),
    ),
)
