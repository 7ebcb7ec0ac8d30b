"""Every column that a recording has: its name, type, unit and meaning; files, frames and docs follow it."""

from __future__ import annotations

from dataclasses import dataclass

#: pandas types that keep "not seen" (<NA>) apart from 0, "" and false
TEXT, COUNT, NUMBER, TRUTH = "string", "Int64", "Float64", "boolean"
#: the same for page records, which are many, and never have an unseen value
WORD, INTEGER, SMALL, UNSIGNED = "category", "int64", "int32", "uint64"


@dataclass(frozen=True, slots=True)
class Column:
    """One column: `dtype` is the pandas type it is read back as, `unit` is empty where there is none."""

    name: str
    dtype: str
    unit: str
    meaning: str


IDENTITY = (
    Column("run_id", TEXT, "", "the same for all migrations of one command or one campaign run"),
    Column("migration_id", TEXT, "", "id of the migration within the run"),
    Column("vm", TEXT, "", "name of the VM: QEMU's own (`-name`), or the one that was given on the command line"),
)

ROUNDS = (
    *IDENTITY,
    Column(
        "round", COUNT, "", "number of the round, from 1. A round lies between two bitmap syncs of the migration loop"
    ),
    Column("kind", TEXT, "", "`bulk` (all RAM), `iterative`, or `switchover` (VM stopped)"),
    Column("level", TEXT, "", "how it was observed: `qmp`, `stock`, `usdt` or `patched`"),
    Column("mode", TEXT, "", "`fake-dirty-mode` at the end of the round: `off`, `observe` or `skip`; see toggles.csv"),
    Column(
        "hash",
        TEXT,
        "",
        "the content hash at the end of the round, such as `xxh3-64`; empty if the mode was `off`",
    ),
    Column("start_seconds", NUMBER, "s", "start of the round, from the start of the migration (monotonic clock)"),
    Column("duration_seconds", NUMBER, "s", "from the start of the round to its end"),
    Column(
        "dirty_pages",
        COUNT,
        "pages",
        "pages to be visited: left from the round before, or newly marked at the start of this one",
    ),
    Column("forced_pages", COUNT, "pages", "marked by bitmap syncs inside the round (CPU throttling forces them)"),
    Column("visited_pages", COUNT, "pages", "dirty pages whose bit was cleared and whose content was considered"),
    Column("first_pages", COUNT, "pages", "visited, without a valid record of what was last sent"),
    Column("changed_pages", COUNT, "pages", "visited, recorded as sent, content differs from what was last sent"),
    Column("fake_pages", COUNT, "pages", "visited, recorded as sent, content equal to what was last sent"),
    Column("zero_pages", COUNT, "pages", "sent as a zero page (QEMU: `duplicate`)"),
    Column("normal_pages", COUNT, "pages", "sent in full (QEMU: `normal`)"),
    Column("xbzrle_pages", COUNT, "pages", "sent as a delta against XBZRLE's cache"),
    Column("unchanged_pages", COUNT, "pages", "XBZRLE found the cached copy equal and sent nothing"),
    Column("skipped_pages", COUNT, "pages", "fake, and not sent because the mode was `skip`"),
    Column("left_pages", COUNT, "pages", "still dirty when the next round begins"),
    Column("hinted_pages", COUNT, "pages", "cleared without a visit by free-page hinting"),
    Column("transferred_bytes", COUNT, "bytes", "sent in the round, as QEMU counts it"),
    Column(
        "saved_bytes",
        COUNT,
        "bytes",
        "what the skipped pages would have cost on the wire. With multifd it is an estimate: as much as the round's "
        "normal pages, which may be compressed",
    ),
    Column(
        "hash_seconds",
        NUMBER,
        "s",
        "time spent on copying and hashing pages. With multifd it is the sum over the channels, which work at the same "
        "time, so it may be longer than the round",
    ),
    Column("forced_syncs", COUNT, "syncs", "bitmap syncs inside the round"),
    Column("lost_events", COUNT, "events", "events of the round that never reached the collector"),
    Column(
        "valid",
        TRUTH,
        "",
        "whether the counts obey the laws of conservation and agree between sources, and no event was lost",
    ),
    Column("invalid_reason", TEXT, "", "why `valid` is false; empty when it is true"),
    Column(
        "sampled_pages",
        COUNT,
        "pages",
        "visited pages that a sample looked at; the classes are estimates then. Empty without sampling",
    ),
    Column("fake_pages_low", COUNT, "pages", "lower end of the 95 % interval of `fake_pages`, if that is an estimate"),
    Column("fake_pages_high", COUNT, "pages", "upper end of that interval"),
    Column(
        "remark",
        TEXT,
        "",
        "why the counts of the round are right only together with those of other rounds: multifd's channels count "
        "pages as sent in another round than the one of their visit, or QEMU itself calls the round not exact. If "
        "`totals` in migration.json is `equal`, sums over all rounds are right, but for its `late_pages`. At level "
        "`qmp` on a stock QEMU: CPU throttling was active, and the bitmap syncs that it forces end rows",
    ),
)

MIGRATIONS = (
    *IDENTITY,
    Column("level", TEXT, "", "how it was observed: `qmp`, `stock`, `usdt` or `patched`"),
    Column(
        "side", TEXT, "", "`source`, or `destination`: the observed QEMU received this guest, and has no rounds of it"
    ),
    Column("started_at", TEXT, "", "start of the migration, UTC, ISO 8601; on the destination, arrival of the guest"),
    Column("outcome", TEXT, "", "`completed`, `failed`, `cancelled`; `unfinished` if the end was not observed"),
    Column("duration_seconds", NUMBER, "s", "from the start to the end as the collector saw them (monotonic clock)"),
    Column("stopped_at", TEXT, "", "when the source stopped the guest for the switchover, UTC; seen by eBPF"),
    Column(
        "resumed_at",
        TEXT,
        "",
        "when the destination let the guest run, UTC; seen by eBPF. The source has it only if both are on one host",
    ),
    Column("outside_downtime_ms", NUMBER, "ms", "from `stopped_at` to `resumed_at`, on one clock (monotonic)"),
    Column("total_time_ms", COUNT, "ms", "`total-time` of the last query-migrate"),
    Column("setup_time_ms", COUNT, "ms", "`setup-time` of the last query-migrate"),
    Column("downtime_ms", COUNT, "ms", "`downtime` of the last query-migrate"),
    Column("downtime_limit_ms", COUNT, "ms", "how long the guest was allowed to be stopped, by QEMU's last answer"),
    Column(
        "channels",
        COUNT,
        "",
        "how many channels send pages at once: 1 without multifd; empty if QEMU did not report it",
    ),
    Column("compressed", TRUTH, "", "whether multifd compresses pages; empty if QEMU did not report it"),
    Column(
        "transferred_bytes",
        COUNT,
        "bytes",
        "`ram.transferred` of the last query-migrate. A destination has it if its QEMU reports RAM statistics",
    ),
    Column("rounds", COUNT, "rounds", "rounds that were recorded"),
    Column("invalid_rounds", COUNT, "rounds", "rounds whose `valid` is false"),
    Column("lost_events", COUNT, "events", "events that never reached the collector, in all rounds or outside any"),
    Column(
        "partial",
        TRUTH,
        "",
        "not all pages are in the rounds, and it is known why: the migration already ran when the collector came, or "
        "postcopy moved the rest",
    ),
    Column("conservation", TRUTH, "", "every round obeyed the laws of conservation; empty if no round could be judged"),
    Column(
        "valid",
        TRUTH,
        "",
        "true if the migration is not partial, no event was lost, every round is valid, and `totals` is `equal`. Empty "
        "if `totals` is `unchecked` and nothing else is wrong, or if recording was cut off",
    ),
    Column(
        "totals",
        TEXT,
        "",
        "the pages of all rounds, compared with QEMU's own totals at the end: `equal`; `partial`, see that column; "
        "`missing` if they differ; `unchecked` if there are no totals; empty on the destination",
    ),
    Column("reason", TEXT, "", "why `valid` is not true; empty if it is"),
    Column("counted_pages", COUNT, "pages", "pages that the rounds before postcopy count as sent, if that was checked"),
    Column("reported_pages", COUNT, "pages", "pages that QEMU counts as sent in all, by its last query-migrate"),
    Column(
        "postcopy_seconds", NUMBER, "s", "when postcopy was first seen to be active, from the start of the migration"
    ),
    Column("postcopy_pages", COUNT, "pages", "pages that postcopy moved: QEMU reports them, and they are in no round"),
    Column(
        "postcopy_bytes", COUNT, "bytes", "bytes that postcopy moved, by `ram.postcopy-bytes` of the last query-migrate"
    ),
    Column(
        "postcopy_begun_seconds",
        NUMBER,
        "s",
        "when the destination was instructed which pages to discard, from the start of the migration: rounds and their "
        "laws end there. This column and the next two come from `postcopy` in QEMU's history of rounds, and are empty "
        "if it has none",
    ),
    Column("postcopy_left_pages", COUNT, "pages", "pages that were left to postcopy"),
    Column(
        "postcopy_marked_pages",
        COUNT,
        "pages",
        "those of the pages left that are sent only because another page of their host page was dirty",
    ),
    Column(
        "late_pages",
        COUNT,
        "pages",
        "pages that multifd's channels counted as sent after the last round. They were visited in that round, and are "
        "in no sum of `normal_pages` or `zero_pages`. Empty if there were none",
    ),
    Column(
        "switchover_expected_pages",
        COUNT,
        "pages",
        "pages that QEMU expected to send with the guest stopped, when it decided on the switchover. This column and "
        "the next four come from `switchover` in the last query-migrate, and are empty if QEMU has none",
    ),
    Column(
        "switchover_expected_seconds",
        NUMBER,
        "s",
        "how long QEMU expected RAM to take, skipped pages included; empty also if it knew no bandwidth",
    ),
    Column(
        "switchover_pages", COUNT, "pages", "pages that QEMU sent with the guest stopped: normal, zero and xbzrle pages"
    ),
    Column("switchover_seconds", NUMBER, "s", "from the last bitmap sync to the last page"),
    Column(
        "switchover_stopped_seconds",
        NUMBER,
        "s",
        "from the order to stop the guest to the end of all that was sent. It includes the last bitmap sync, devices, "
        "and a pause before the switchover",
    ),
    Column(
        "remaining_bytes",
        COUNT,
        "bytes",
        "what was left to be sent, of RAM and all devices, at the last query-migrate that had `remaining`. QEMU has it "
        "since 11.1. Level `qmp` reads it while the migration runs, the other levels only after its end",
    ),
    Column(
        "postcopy_latency_ns",
        COUNT,
        "ns",
        "how long a thread of the destination waited for a page of the source in postcopy, on average: "
        "`postcopy-latency` of the destination's last query-migrate. QEMU has it since 10.1, with the capability "
        "`postcopy-blocktime`. Empty also if no thread waited. `query_migrate` also has it by vCPU, and its "
        "distribution",
    ),
    Column(
        "postcopy_non_vcpu_latency_ns",
        COUNT,
        "ns",
        "the same of all threads but vCPUs: `postcopy-non-vcpu-latency`",
    ),
    Column(
        "return_path",
        TRUTH,
        "",
        "whether the destination reported back to the source (capability `return-path` or `postcopy-ram`): the source "
        "then completed after the guest had arrived. Empty if QEMU did not report it",
    ),
)

TOGGLES = (
    *IDENTITY,
    Column("round", COUNT, "", "the round in which QEMU adopted the mode or the hash; 0 is before the first round"),
    Column("seconds", NUMBER, "s", "time of the toggle, from the start of the migration (monotonic clock)"),
    Column("from_mode", TEXT, "", "the mode before"),
    Column("to_mode", TEXT, "", "the mode after"),
    Column("hash", TEXT, "", "the hash after; empty if it was not seen"),
    Column(
        "read_back",
        TEXT,
        "",
        "the mode that QEMU reported next: at the end of the round, or at a later toggle in it; empty without one",
    ),
)

DOWNTIME = (
    *IDENTITY,
    Column("side", TEXT, "", "`source`, `destination`; empty if the part belongs to neither, or to both"),
    Column(
        "part",
        TEXT,
        "",
        "`stop`, `prepare`, `sync`, `ram`, `save`, `states`, `wire`, `receive`, `load`, `start`, `handover` or "
        "`unexplained`; [downtime.md](downtime.md) has what each is",
    ),
    Column("device", TEXT, "", "QEMU's name of the device that was saved or loaded; empty for other parts"),
    Column("instance", COUNT, "", "distinguishes devices of one name; empty for other parts"),
    Column(
        "start_seconds",
        NUMBER,
        "s",
        "when the part began, from the stop of the guest (monotonic clock); empty if that was not seen",
    ),
    Column("seconds", NUMBER, "s", "how long the part took. Parts overlap in time"),
    Column(
        "counted_seconds",
        NUMBER,
        "s",
        "how much of the downtime is counted for the part. Each moment counts once, so the rows add up to the "
        "downtime. Empty if the downtime was not measured",
    ),
)

PAGES = (
    Column("block", WORD, "", "name of the RAM block"),
    Column("page", INTEGER, "", "index of the target page in its block"),
    Column("round", SMALL, "", "the round in which it was visited"),
    Column("class", WORD, "", "`first`, `changed` or `fake`"),
    Column("disposition", WORD, "", "`normal`, `zero`, `xbzrle`, `unchanged` or `skipped`"),
    Column("hash", UNSIGNED, "", "the first 64 bits of the hash of the content"),
    Column("time_ns", INTEGER, "ns", "when QEMU or the probe reported the batch with the page (CLOCK_MONOTONIC)"),
)

#: each file of a recording that is a table, with its columns
TABLES = {
    "rounds.csv": ROUNDS,
    "migration.json": MIGRATIONS,
    "toggles.csv": TOGGLES,
    "downtime.csv": DOWNTIME,
    "pages.parquet": PAGES,
}
