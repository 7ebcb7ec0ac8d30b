"""Every column of a campaign's own tables. The recordings of its runs have theirs in ``record.columns``."""

from __future__ import annotations

from fakedirty.record.columns import COUNT, NUMBER, TEXT, TRUTH, Column

RUN = Column("run", TEXT, "", "name of the run: its number in the order of the campaign")

FACTORS = (
    Column("workload", TEXT, "", "the workload in the guest"),
    Column("memory_mib", COUNT, "MiB", "memory of the guest"),
    Column("treatment", TEXT, "", "the treatment; with `-unobserved`, the same with no observer attached"),
    Column("mbit", COUNT, "Mbit/s", "bandwidth of the link"),
    Column("vcpus", COUNT, "", "vCPUs of the guest"),
)

_SUMS = {
    "visited_pages": "visited",
    "first_pages": "visited with no valid record of what was sent of them",
    "changed_pages": "visited, content other than what was last sent",
    "fake_pages": "visited, content equal to what was last sent",
    "zero_pages": "sent as zero pages",
    "normal_pages": "sent in full",
    "xbzrle_pages": "sent as deltas",
    "unchanged_pages": "that XBZRLE found unchanged",
    "skipped_pages": "fake, and not sent",
}
#: columns of rounds.csv that are summed up over the rounds until the end or the time limit
SUMMED = (*_SUMS, "hash_seconds")

RUNS = (
    RUN,
    Column("block", COUNT, "", "number of the block, which has every treatment once under the same other factors"),
    Column("repetition", COUNT, "", "number of the repetition"),
    *FACTORS,
    Column(
        "outcome", TEXT, "", "`completed`; `time-limit` if it had not ended by then (censored); `failed`, see `reason`"
    ),
    Column("reason", TEXT, "", "why it failed or did not end; empty if it completed"),
    Column("converged", TRUTH, "", "whether it ended by itself within the time limit"),
    Column("time_limit_seconds", NUMBER, "s", "the time limit of the migration"),
    Column("total_time_ms", COUNT, "ms", "`total-time` of query-migrate; empty unless `completed`"),
    Column("setup_time_ms", COUNT, "ms", "`setup-time` of query-migrate"),
    Column("downtime_ms", COUNT, "ms", "`downtime` of query-migrate; empty unless `completed`"),
    Column(
        "outside_downtime_ms",
        NUMBER,
        "ms",
        "from the stop of the source to the arrival at the destination, by the time stamps of both QEMU's events",
    ),
    Column("link_bytes", COUNT, "bytes", "put on the link by the source, headers included, until the end or the limit"),
    Column("transferred_bytes", COUNT, "bytes", "`ram.transferred` of query-migrate, at the end or the limit"),
    Column("bandwidth_use", NUMBER, "", "share of the link's capacity that was used: link bytes ÷ (time × link rate)"),
    Column("rounds", COUNT, "rounds", "that ended by the end or the limit"),
    *(
        Column(name, COUNT, "pages", f"{meaning}, in those rounds; empty if a round does not have this count")
        for name, meaning in _SUMS.items()
    ),
    Column(
        "postcopy_left_pages",
        COUNT,
        "pages",
        "left to postcopy, by QEMU's history of rounds: the sums end there; empty if the history does not have it",
    ),
    Column(
        "hash_seconds",
        NUMBER,
        "s",
        "spent on copying and hashing pages, in those rounds; with multifd the sum over its channels",
    ),
    Column("migration_cpu_seconds", NUMBER, "s", "on a CPU, of QEMU's threads for the migration on the source"),
    Column("vcpu_cpu_seconds", NUMBER, "s", "on a CPU, of the vCPUs of the source, during the migration"),
    Column("host_memory_bytes", COUNT, "bytes", "largest resident memory of the source's QEMU (VmHWM)"),
    Column("service_before", NUMBER, "1/s", "operations of the guest per second, median before the migration"),
    Column("service_during", NUMBER, "1/s", "the same during the migration"),
    Column("service_after", NUMBER, "1/s", "the same on the destination"),
    Column("degradation", NUMBER, "", "1 - during ÷ before"),
    Column("false_equal_pages", COUNT, "pages", "that the hash took for equal and are not; empty without an audit"),
    Column("memory_equal", TRUTH, "", "whether every page was equal on both sides; empty if it did not arrive"),
    Column(
        "totals",
        TEXT,
        "",
        "of the recording: its pages compared with QEMU's own totals, as in migration.json; empty without a recording",
    ),
    Column("started_at", TEXT, "", "start of the run, UTC, ISO 8601"),
    Column("migration_id", TEXT, "", "of the recording in the directory of the run; empty without a recording"),
    Column("wall_seconds", NUMBER, "s", "that the whole run took, from boot to the comparison of memory"),
)

SERVICE = (
    RUN,
    Column("side", TEXT, "", "`source` or `destination`"),
    Column("seconds", NUMBER, "s", "end of the interval, from the start of the migration; negative before it"),
    Column("operations_per_second", NUMBER, "1/s", "throughput in the interval, as the guest reports it"),
    Column("latency_us", NUMBER, "µs", "of an operation: the median in the interval, or the mean of a sweep"),
    Column("latency_p99_us", NUMBER, "µs", "99th percentile in the interval"),
)

#: each file of a campaign that is a table, with its columns
CAMPAIGN_TABLES = {"run.json": RUNS, "service.csv": SERVICE}
