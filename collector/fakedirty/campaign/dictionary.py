"""``docs/data-dictionary.md``, made from the columns of all tables: ``python -m fakedirty.campaign.dictionary``."""

from __future__ import annotations

from fakedirty.record.columns import TABLES
from fakedirty.record.halves.columns import JOINED
from fakedirty.record.halves.joined_record import FILE
from fakedirty.record.manifest import SCHEMA_VERSION

from .columns import CAMPAIGN_TABLES

HEAD = f"""# Data dictionary

Made from `fakedirty.record.columns` and `fakedirty.campaign.columns` by `python -m fakedirty.campaign.dictionary`. A
test holds them together.

Each migration has a directory, `OUT/<vm>/<start>-<migration_id>/`, with the files below and a `manifest.json`. The
manifest has versions, the clock, command lines, parameters, and `schema_version` {SCHEMA_VERSION}. Its `process` (the
process id and start time of the QEMU) and its `uuid` (that of the guest) distinguish VMs of the same name. Its `host`
is the name of the host. Its `clock` has the clock by which the recording is dated: `start_ns` (CLOCK_MONOTONIC),
`wall_minus_monotonic_ns`, the `boot_id` of the kernel, and `error`, the error of the wall clock by `adjtimex`:
`synchronised`, `max_error_us` and `estimated_error_us`. These last two members are null where they are not known.

The name of the directory ends in `.partial` while the migration runs. It keeps this ending if the collector was killed
or could no longer write: what was recorded by then can be read. The name of the VM in the path is percent-encoded if
needed. The files have the real one.

`fakedirty.load(path)` reads one such directory, or all below a directory, into pandas frames `rounds`,
`migrations`, `toggles`, `downtime` and `pages`, with the types given here. An empty field (`<NA>` in a frame) is
something that the source could not see. It never means 0. Pages are target pages, of the size that QEMU reports. Text
is UTF-8.
"""

CAMPAIGN = """\
# Campaigns

A campaign (`fakedirty campaign`, see docs/campaigns.md) has a directory for every run, `DIR/runs/<run>/`. It has the
recording of the run's migration, as above, the files below, and `experiment.json` (versions, command lines, parameters,
seed, toggles that were made). `fakedirty.load_campaign(DIR)` reads all of it into pandas frames `runs`, `rounds`,
`toggles` and `service`. `rounds` and `toggles` begin with the columns of the run and its factors. `long.csv`, which
`fakedirty campaign export` writes, is `runs` with a row for each run and metric: `metric`, `unit`, `value`.
"""

#: what each file is
FILES = {
    "rounds.csv": "One line for each finished round, written when the round ends. `fakedirty.load(path).rounds`.",
    "migration.json": (
        "One object. These members are the columns of `fakedirty.load(path).migrations`. Other members are `state` "
        "(QEMU's last), `lost_where` (lost events by place), `invalid_reasons` (by round), `verdict` (the last one "
        "before the guest was stopped, see docs/verdict.md; with `refuted` it is withdrawn; `recommended` has what "
        "each plan needs to end, and is null where nothing is recommended) and `query_migrate` (the last answer in "
        "full, with `postcopy` of QEMU's history of rounds if it has that). If the collector was killed, the file is "
        "missing, and `load` takes what it can from the manifest."
    ),
    "toggles.csv": (
        "One line each time that QEMU adopts a mode or a hash, whoever made the change, written at once. `read_back` "
        "is filled in when the migration has ended. `fakedirty.load(path).toggles`. If the mode changed within a "
        "round, and was off in any part of it, the classes of that round are empty."
    ),
    "downtime.csv": (
        "One line for each part of the downtime, in the order in which they began, written when the migration has "
        "ended. `fakedirty.load(path).downtime`. It has no lines if no part was seen: levels `usdt` and `patched` see "
        "them, on the source and on a destination on the same host. The last line has the part `unexplained`."
    ),
    "pages.parquet": (
        "One row for each visited page, if page records were requested. `fakedirty.load(path).pages`, which begins "
        "with `run_id` and `migration_id`. It is a directory: a dataset partitioned by round "
        "(`round=7/000012.parquet`). Its files are complete also while the migration runs. "
        "`pyarrow.dataset.dataset(path, partitioning='hive')` and other tools read it in blocks."
    ),
    FILE: (
        "The record of a migration whose source and destination were recorded on two hosts, which `fakedirty runs join "
        "--out DIR` writes to `DIR/<vm>/joined-<start>-<source_id>-<destination_id>/`; see docs/join.md. Its other "
        "members are `source_migration` and `destination_migration`, the migration.json of both halves."
    ),
    "run.json": "One object for each run. `fakedirty.load_campaign(DIR).runs`.",
    "service.csv": (
        "What the guest got done, by its own reports while it was watched. `fakedirty.load_campaign(DIR).service`. "
        "docs/campaigns.md says what an operation of each workload is."
    ),
}


def dictionary() -> str:
    """The whole document."""
    parts = [HEAD]
    for file, columns in (TABLES | {FILE: JOINED} | CAMPAIGN_TABLES).items():
        if file in CAMPAIGN_TABLES and CAMPAIGN not in parts:
            parts.append(CAMPAIGN)
        parts.append(f"## {file}\n\n{FILES[file]}\n")
        parts.append("| column | type | unit | meaning |\n| --- | --- | --- | --- |")
        parts += [f"| `{c.name}` | {c.dtype} | {c.unit} | {c.meaning} |" for c in columns]
        parts.append("")
    return "\n".join(parts)


if __name__ == "__main__":
    print(dictionary(), end="")
