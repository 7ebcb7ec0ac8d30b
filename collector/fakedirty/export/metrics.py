"""Every metric of a VM, as a table: its name, type, labels, help, and how it is read from migrations.

A value that the source cannot see is not exported, never 0. A ratio is two counters.
"""

from __future__ import annotations

from fakedirty.model.round import CLASSES, DISPOSITIONS
from fakedirty.model.skip_economy import LAST_ROUNDS

from . import readers
from .downtime_readers import downtime_parts
from .forecast_metrics import FORECAST_METRICS
from .metric import C, G, H, Metric
from .readers import by_round, column, columns, latest, reported_ms
from .tracked_migration import ROUNDS_SHOWN

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
    *FORECAST_METRICS,
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
