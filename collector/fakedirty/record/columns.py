"""Every column that a recording has: its name, type, unit and meaning; files, frames and docs follow it."""

from __future__ import annotations

from dataclasses import dataclass

#: pandas types that keep "not seen" (<NA>) apart from 0, "" and false
TEXT, COUNT, NUMBER, TRUTH = "string", "Int64", "Float64", "boolean"
#: and of page records, of which there are many: none of them is ever unseen
WORD, INTEGER, SMALL, UNSIGNED = "category", "int64", "int32", "uint64"


@dataclass(frozen=True, slots=True)
class Column:
    """One column: `dtype` is the pandas type it is read back as, `unit` is empty where there is none."""

    name: str
    dtype: str
    unit: str
    meaning: str


IDENTITY = (
    Column("run_id", TEXT, "", "groups the migrations of one command or one campaign run"),
    Column("migration_id", TEXT, "", "identifies the migration within the run"),
    Column("vm", TEXT, "", "the VM's name as QEMU has it (`-name`), or the one that was given"),
)

ROUNDS = (
    *IDENTITY,
    Column("round", COUNT, "", "number of the round, from 1: what lies between two bitmap syncs of the migration loop"),
    Column("kind", TEXT, "", "`bulk` (all RAM), `iterative`, or `switchover` (VM stopped)"),
    Column("level", TEXT, "", "how it was observed: `qmp`, `stock`, `usdt` or `patched`"),
    Column("mode", TEXT, "", "`fake-dirty-mode` at the end of the round: `off`, `observe` or `skip`; see toggles.csv"),
    Column(
        "hash",
        TEXT,
        "",
        "the content hash at the end of the round, such as `xxh3-64`; empty where the mode was `off`",
    ),
    Column("start_seconds", NUMBER, "s", "start of the round, from the start of the migration (monotonic clock)"),
    Column("duration_seconds", NUMBER, "s", "from the start of the round to its end"),
    Column(
        "dirty_pages", COUNT, "pages", "to be visited: left over from the round before, or newly marked at its start"
    ),
    Column("forced_pages", COUNT, "pages", "marked by bitmap syncs inside the round (CPU throttling forces them)"),
    Column("visited_pages", COUNT, "pages", "dirty pages whose bit was cleared and whose content was considered"),
    Column("first_pages", COUNT, "pages", "visited, with no valid record of what was sent of them"),
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
        "what the skipped pages would have cost on the wire; with multifd an estimate: as much as the round's normal "
        "pages, which may be compressed",
    ),
    Column(
        "hash_seconds",
        NUMBER,
        "s",
        "time spent on copying and hashing pages; with multifd the sum over its channels, which do so at once, so that "
        "it may be longer than the round",
    ),
    Column("forced_syncs", COUNT, "syncs", "bitmap syncs inside the round"),
    Column("lost_events", COUNT, "events", "events of the round that never reached the collector"),
    Column("valid", TRUTH, "", "whether the counts obey conservation, agree between sources, and nothing was lost"),
    Column("invalid_reason", TEXT, "", "why `valid` is false; empty when it is true"),
    Column("sampled_pages", COUNT, "pages", "visited and looked at, where a sample was: then classes are estimates"),
    Column("fake_pages_low", COUNT, "pages", "lower end of the 95 % interval of `fake_pages`, where it is an estimate"),
    Column("fake_pages_high", COUNT, "pages", "upper end of that interval"),
    Column(
        "remark",
        TEXT,
        "",
        "what of the round is right only together with others: pages that multifd's channels count as sent in another "
        "round than they were visited in, or that QEMU itself calls the round not exact. Sums over all rounds are "
        "right if `totals` in migration.json is `equal`, but for its `late_pages`. At level `qmp` on a stock QEMU: "
        "that CPU throttling was active, whose forced syncs end rows",
    ),
)

MIGRATIONS = (
    *IDENTITY,
    Column("level", TEXT, "", "how it was observed: `qmp`, `stock`, `usdt` or `patched`"),
    Column(
        "side", TEXT, "", "`source`, or `destination`: the observed QEMU waited for this guest, and has no rounds of it"
    ),
    Column("started_at", TEXT, "", "start of the migration, UTC, ISO 8601; on the destination, arrival of the guest"),
    Column("outcome", TEXT, "", "`completed`, `failed`, `cancelled`; `unfinished` if the end was not observed"),
    Column("duration_seconds", NUMBER, "s", "from the start to the end as the collector saw them (monotonic clock)"),
    Column("stopped_at", TEXT, "", "when the source stopped the guest for the switchover, UTC; seen by eBPF"),
    Column(
        "resumed_at",
        TEXT,
        "",
        "when the destination let the guest run, UTC; seen by eBPF, on the source where both are on one host",
    ),
    Column("outside_downtime_ms", NUMBER, "ms", "from the one to the other, on one clock (monotonic)"),
    Column("total_time_ms", COUNT, "ms", "`total-time` of the last query-migrate"),
    Column("setup_time_ms", COUNT, "ms", "`setup-time` of the last query-migrate"),
    Column("downtime_ms", COUNT, "ms", "`downtime` of the last query-migrate"),
    Column("downtime_limit_ms", COUNT, "ms", "how long the guest was allowed to be stopped, as QEMU said last"),
    Column("channels", COUNT, "", "how many send pages at once: 1 without multifd; empty where QEMU did not say"),
    Column("compressed", TRUTH, "", "whether multifd compresses pages; empty where QEMU did not say"),
    Column("transferred_bytes", COUNT, "bytes", "`ram.transferred` of the last query-migrate"),
    Column("rounds", COUNT, "rounds", "rounds that were recorded"),
    Column("invalid_rounds", COUNT, "rounds", "rounds whose `valid` is false"),
    Column("lost_events", COUNT, "events", "events that never reached the collector, in all rounds or outside any"),
    Column(
        "partial",
        TRUTH,
        "",
        "not all pages are in the rounds, and it is known why: the collector came when the migration was already "
        "running, or postcopy moved the rest",
    ),
    Column("conservation", TRUTH, "", "every round obeyed the laws of conservation; empty where none could be judged"),
    Column(
        "valid",
        TRUTH,
        "",
        "not partial, nothing lost, every round valid, and `totals` is `equal`; empty where `totals` is `unchecked` "
        "and nothing else is wrong, and where recording was cut off",
    ),
    Column(
        "totals",
        TEXT,
        "",
        "the pages of all rounds, held against QEMU's own totals at the end: `equal`; `partial`, see there; `missing` "
        "if they differ; `unchecked` if there are no totals; empty on the destination",
    ),
    Column("reason", TEXT, "", "why `valid` is not true; empty where it is"),
    Column("counted_pages", COUNT, "pages", "that the rounds before postcopy count as sent, where that was checked"),
    Column("reported_pages", COUNT, "pages", "that QEMU counts as sent in all, by its last query-migrate"),
    Column("postcopy_seconds", NUMBER, "s", "when postcopy was seen to be active, from the start"),
    Column("postcopy_pages", COUNT, "pages", "that postcopy moved: reported and in no round"),
    Column("postcopy_bytes", COUNT, "bytes", "that postcopy moved, by `ram.postcopy-bytes` of the last query-migrate"),
    Column(
        "postcopy_begun_seconds",
        NUMBER,
        "s",
        "when the destination was told what to discard, from the start: rounds and their laws end there. This and the "
        "next two are of `postcopy` in QEMU's history of rounds, and empty where it has none",
    ),
    Column("postcopy_left_pages", COUNT, "pages", "that were left to postcopy"),
    Column(
        "postcopy_marked_pages",
        COUNT,
        "pages",
        "of these, that are to be sent only because another page of their host page was dirty",
    ),
    Column(
        "late_pages",
        COUNT,
        "pages",
        "that multifd's channels counted as sent after the last round: visited in it, and in no sum of `normal_pages` "
        "or `zero_pages`; empty where there were none",
    ),
    Column(
        "switchover_expected_pages",
        COUNT,
        "pages",
        "that QEMU expected to send with the guest stopped, when it decided to; this and the next four are of "
        "`switchover` in the last query-migrate, and empty where QEMU has none",
    ),
    Column(
        "switchover_expected_seconds",
        NUMBER,
        "s",
        "how long it expected RAM to take, skipped pages included; empty also where it knew no bandwidth",
    ),
    Column("switchover_pages", COUNT, "pages", "that it sent with the guest stopped: normal, zero and xbzrle pages"),
    Column("switchover_seconds", NUMBER, "s", "from the last bitmap sync to the last page"),
    Column(
        "switchover_stopped_seconds",
        NUMBER,
        "s",
        "from the order to stop the guest to the end of all that was sent: with the last bitmap sync, devices, and a "
        "pause before the switchover",
    ),
)

TOGGLES = (
    *IDENTITY,
    Column("round", COUNT, "", "the round in which QEMU adopted the mode or the hash; 0 before the first"),
    Column("seconds", NUMBER, "s", "when, from the start of the migration (monotonic clock)"),
    Column("from_mode", TEXT, "", "the mode before"),
    Column("to_mode", TEXT, "", "the mode after"),
    Column("hash", TEXT, "", "the hash after; empty where it was not seen"),
    Column(
        "read_back",
        TEXT,
        "",
        "the mode by what QEMU said next: of the round when it ended, or before a later toggle in it; empty if nothing",
    ),
)

PAGES = (
    Column("block", WORD, "", "name of the RAM block"),
    Column("page", INTEGER, "", "index of the target page in its block"),
    Column("round", SMALL, "", "the round in which it was visited"),
    Column("class", WORD, "", "`first`, `changed` or `fake`"),
    Column("disposition", WORD, "", "`normal`, `zero`, `xbzrle`, `unchanged` or `skipped`"),
    Column("hash", UNSIGNED, "", "the first 64 bits of the hash of the content"),
    Column("time_ns", INTEGER, "ns", "when the batch with the page was handed over (CLOCK_MONOTONIC)"),
)

#: each file of a recording that is a table, with its columns
TABLES = {
    "rounds.csv": ROUNDS,
    "migration.json": MIGRATIONS,
    "toggles.csv": TOGGLES,
    "pages.parquet": PAGES,
}
