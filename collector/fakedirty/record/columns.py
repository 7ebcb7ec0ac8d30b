"""All columns of a recording: name, type, unit and meaning. Files, frames and docs are made from these tables."""

from __future__ import annotations

from dataclasses import dataclass

#: pandas types in which "not seen" (<NA>) differs from 0, "" and false
TEXT, COUNT, NUMBER, TRUTH = "string", "Int64", "Float64", "boolean"
#: smaller types for page records, which are many: their values are always seen
WORD, INTEGER, SMALL, UNSIGNED = "category", "int64", "int32", "uint64"


@dataclass(frozen=True, slots=True)
class Column:
    """One column: `dtype` is its pandas type in a frame, `unit` is empty if it has none."""

    name: str
    dtype: str
    unit: str
    meaning: str


IDENTITY = (
    Column("run_id", TEXT, "", "groups the migrations of one command or one campaign run"),
    Column("migration_id", TEXT, "", "identifies the migration within the run"),
    Column("vm", TEXT, "", "name of the VM: that of QEMU's option `-name`, or the name that the user gave"),
)

ROUNDS = (
    *IDENTITY,
    Column(
        "round", COUNT, "", "number of the round, from 1; a round lies between two bitmap syncs of the migration loop"
    ),
    Column("kind", TEXT, "", "`bulk` (all RAM), `iterative`, or `switchover` (VM stopped)"),
    Column("level", TEXT, "", "level of observation: `qmp`, `stock`, `usdt` or `patched`"),
    Column("mode", TEXT, "", "`fake-dirty-mode` at the end of the round: `off`, `observe` or `skip`; see toggles.csv"),
    Column(
        "hash",
        TEXT,
        "",
        "content hash at the end of the round, such as `xxh3-64`; empty where the mode was `off`",
    ),
    Column("start_seconds", NUMBER, "s", "start of the round, from the start of the migration (monotonic clock)"),
    Column("duration_seconds", NUMBER, "s", "from the start of the round to its end"),
    Column("dirty_pages", COUNT, "pages", "pages to visit: left from the round before, or newly marked at its start"),
    Column("forced_pages", COUNT, "pages", "marked by bitmap syncs inside the round (CPU throttling forces them)"),
    Column("visited_pages", COUNT, "pages", "dirty pages whose bit was cleared and whose content was considered"),
    Column("first_pages", COUNT, "pages", "visited, without a valid record of the content that was sent last"),
    Column("changed_pages", COUNT, "pages", "visited, recorded as sent, content differs from the content sent last"),
    Column("fake_pages", COUNT, "pages", "visited, recorded as sent, content equal to the content sent last"),
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
        "bytes that the skipped pages would have taken on the link; with multifd an estimate, by the size of the "
        "round's normal pages, which may be compressed",
    ),
    Column(
        "hash_seconds",
        NUMBER,
        "s",
        "time spent on copying and hashing pages; with multifd the sum over all channels, which work at the same time: "
        "it may be longer than the round",
    ),
    Column("forced_syncs", COUNT, "syncs", "bitmap syncs inside the round"),
    Column("lost_events", COUNT, "events", "events of the round that did not reach the collector"),
    Column("valid", TRUTH, "", "the counts obey conservation and agree between sources, and no event was lost"),
    Column("invalid_reason", TEXT, "", "why `valid` is false; empty if it is true"),
    Column("sampled_pages", COUNT, "pages", "visited and classified, of a sample: the classes are estimates then"),
    Column("fake_pages_low", COUNT, "pages", "lower end of the 95 % interval of `fake_pages`, where it is an estimate"),
    Column("fake_pages_high", COUNT, "pages", "upper end of that interval"),
    Column(
        "remark",
        TEXT,
        "",
        "why the counts are right only as a sum with those of other rounds: multifd's channels counted pages as sent "
        "in another round than the one that visited them, or QEMU itself calls the round not exact. If `totals` in "
        "migration.json is `equal`, sums over all rounds are right, except for its `late_pages`. At level `qmp` on a "
        "stock QEMU: CPU throttling was active, whose forced syncs end rows",
    ),
)

MIGRATIONS = (
    *IDENTITY,
    Column("level", TEXT, "", "level of observation: `qmp`, `stock`, `usdt` or `patched`"),
    Column(
        "side", TEXT, "", "`source`, or `destination`: the observed QEMU received this guest, and has no rounds of it"
    ),
    Column("started_at", TEXT, "", "start of the migration, UTC, ISO 8601; on the destination, arrival of the guest"),
    Column("outcome", TEXT, "", "`completed`, `failed`, `cancelled`; `unfinished` if the end was not observed"),
    Column("duration_seconds", NUMBER, "s", "from the start to the end, as the collector saw them (monotonic clock)"),
    Column("stopped_at", TEXT, "", "when the source stopped the guest for the switchover, UTC; seen by eBPF"),
    Column(
        "resumed_at",
        TEXT,
        "",
        "when the destination let the guest run, UTC; seen by eBPF, on the source where both are on one host",
    ),
    Column("outside_downtime_ms", NUMBER, "ms", "from `stopped_at` to `resumed_at`, by one monotonic clock"),
    Column("total_time_ms", COUNT, "ms", "`total-time` of the last query-migrate"),
    Column("setup_time_ms", COUNT, "ms", "`setup-time` of the last query-migrate"),
    Column("downtime_ms", COUNT, "ms", "`downtime` of the last query-migrate"),
    Column("downtime_limit_ms", COUNT, "ms", "how long the guest may be stopped, the latest value that was read"),
    Column("channels", COUNT, "", "channels that send pages at the same time: 1 without multifd; empty if not known"),
    Column("compressed", TRUTH, "", "multifd compresses pages; empty if not known"),
    Column("transferred_bytes", COUNT, "bytes", "`ram.transferred` of the last query-migrate"),
    Column("rounds", COUNT, "rounds", "rounds that were recorded"),
    Column("invalid_rounds", COUNT, "rounds", "rounds whose `valid` is false"),
    Column("lost_events", COUNT, "events", "events that did not reach the collector, in all rounds or outside any"),
    Column(
        "partial",
        TRUTH,
        "",
        "not all pages are in the rounds, and the reason is known: the collector attached when the migration was "
        "already running, or postcopy moved the rest",
    ),
    Column("conservation", TRUTH, "", "every round obeyed the laws of conservation; empty where none could be judged"),
    Column(
        "valid",
        TRUTH,
        "",
        "not partial, no event lost, every round valid, and `totals` is `equal`; empty where `totals` is `unchecked` "
        "and nothing else is wrong, and where the recording was cut off",
    ),
    Column(
        "totals",
        TEXT,
        "",
        "comparison of the pages of all rounds with QEMU's own totals at the end: `equal`; `partial` if the reason of "
        "a difference is known, see column `partial`; `missing` if they differ; `unchecked` if there are no totals; "
        "empty on the destination",
    ),
    Column("reason", TEXT, "", "why `valid` is not true; empty if it is"),
    Column(
        "counted_pages", COUNT, "pages", "pages that the rounds before postcopy count as sent, where it was checked"
    ),
    Column("reported_pages", COUNT, "pages", "pages that QEMU counts as sent, by the last query-migrate"),
    Column("postcopy_seconds", NUMBER, "s", "when postcopy was first seen to be active, from the start"),
    Column("postcopy_pages", COUNT, "pages", "pages that postcopy moved: reported by QEMU and in no round"),
    Column(
        "postcopy_bytes", COUNT, "bytes", "bytes that postcopy moved: `ram.postcopy-bytes` of the last query-migrate"
    ),
    Column(
        "postcopy_begun_seconds",
        NUMBER,
        "s",
        "when QEMU sent the destination the pages to discard, from the start: rounds and their laws end there. This "
        "column and the next two are `postcopy` of QEMU's history of rounds; empty where it has none",
    ),
    Column("postcopy_left_pages", COUNT, "pages", "pages that were left to postcopy"),
    Column(
        "postcopy_marked_pages",
        COUNT,
        "pages",
        "of these, the pages that are sent only because another page of their host page was dirty",
    ),
    Column(
        "late_pages",
        COUNT,
        "pages",
        "pages that multifd's channels counted as sent after the last round: that round has them as visited, and no "
        "sum of `normal_pages` or `zero_pages` has them; empty if there were none",
    ),
    Column(
        "switchover_expected_pages",
        COUNT,
        "pages",
        "pages that QEMU expected to send with the guest stopped, when it decided on the switchover. This column and "
        "the next four are `switchover` of the last query-migrate; empty where QEMU has none",
    ),
    Column(
        "switchover_expected_seconds",
        NUMBER,
        "s",
        "how long QEMU expected RAM to take, skipped pages included; empty also where it knew no bandwidth",
    ),
    Column(
        "switchover_pages", COUNT, "pages", "pages that it sent with the guest stopped: normal, zero and xbzrle pages"
    ),
    Column("switchover_seconds", NUMBER, "s", "from the last bitmap sync to the last page"),
    Column(
        "switchover_stopped_seconds",
        NUMBER,
        "s",
        "from the command to stop the guest until everything was sent: it includes the last bitmap sync, devices, and "
        "a pause before the switchover",
    ),
)

TOGGLES = (
    *IDENTITY,
    Column("round", COUNT, "", "round in which QEMU adopted the mode or the hash; 0 before the first"),
    Column("seconds", NUMBER, "s", "when, from the start of the migration (monotonic clock)"),
    Column("from_mode", TEXT, "", "mode before"),
    Column("to_mode", TEXT, "", "mode after"),
    Column("hash", TEXT, "", "hash after; empty where it was not seen"),
    Column(
        "read_back",
        TEXT,
        "",
        "mode that QEMU reported next: at the end of the round, or before a later toggle in it; empty if it reported "
        "none",
    ),
)

PAGES = (
    Column("block", WORD, "", "name of the RAM block"),
    Column("page", INTEGER, "", "index of the target page in its block"),
    Column("round", SMALL, "", "round in which it was visited"),
    Column("class", WORD, "", "`first`, `changed` or `fake`"),
    Column("disposition", WORD, "", "`normal`, `zero`, `xbzrle`, `unchanged` or `skipped`"),
    Column("hash", UNSIGNED, "", "first 64 bits of the hash of the content"),
    Column("time_ns", INTEGER, "ns", "when QEMU handed the batch with the page over (CLOCK_MONOTONIC)"),
)

#: each file of a recording that is a table, with its columns
TABLES = {
    "rounds.csv": ROUNDS,
    "migration.json": MIGRATIONS,
    "toggles.csv": TOGGLES,
    "pages.parquet": PAGES,
}
