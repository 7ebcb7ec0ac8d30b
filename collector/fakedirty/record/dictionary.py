"""``docs/data-dictionary.md`` from the table of columns: ``python -m fakedirty.record.dictionary``."""

from __future__ import annotations

from fakedirty.campaign.columns import CAMPAIGN_TABLES

from .columns import TABLES
from .manifest import SCHEMA_VERSION

HEAD = f"""# Data dictionary

Made from `fakedirty.record.columns` by `python -m fakedirty.record.dictionary`; a test holds the two together.

One migration is one directory, `OUT/<vm>/<start>-<migration_id>/`, with the files below, beside a
`manifest.json` (versions, clock, command lines, parameters; `schema_version` {SCHEMA_VERSION}; `process`, the process
id and start time of the QEMU, and `uuid`, that of its guest, which tell VMs of one name apart). Its name ends in
`.partial` while the migration runs, and stays so if the collector was killed or could not write any more: what
had been recorded by then is readable. The name of the VM in the path is percent-encoded where needed; the real
one is in the files.

`fakedirty.load(path)` reads one such directory, or all below a directory, into pandas frames `rounds`,
`migrations`, `toggles` and `pages`, with the types given here. An empty field is what the source could not see
(`<NA>` in a frame), never 0. Pages are target pages, as large as QEMU says. Text is UTF-8.
"""

CAMPAIGN = """\
# Campaigns

A campaign (`fakedirty campaign`, see docs/campaigns.md) has a directory for every run, `DIR/runs/<run>/`: the recording
of its migration, as above, and beside it the files below and `experiment.json` (versions, command lines, parameters,
seed, toggles that were taken). `fakedirty.load_campaign(DIR)` reads it all into pandas frames `runs`, `rounds`,
`toggles` and `service`; in front of `rounds` and `toggles` stand the run and its factors. `long.csv`, which
`fakedirty campaign export` writes, is `runs` with a row for each run and metric: `metric`, `unit`, `value`.
"""

#: what each file is
FILES = {
    "rounds.csv": "One line per finished round, written when the round ends. `fakedirty.load(path).rounds`.",
    "migration.json": (
        "One object. These members are the columns of `fakedirty.load(path).migrations`; beside them stand `state` "
        "(QEMU's last), `lost_where` (lost events by place), `invalid_reasons` (by round), `verdict` (the last one "
        "before the guest was stopped, see docs/verdict.md; with `refuted` it is withdrawn) and "
        "`query_migrate` (the last answer in full, with `postcopy` of QEMU's history of rounds where it has that). Not "
        "there where the collector was killed: then the manifest stands for it."
    ),
    "toggles.csv": (
        "One line whenever QEMU adopts a mode or a hash, by whoever, written at once; `read_back` is filled in when "
        "the migration has ended. `fakedirty.load(path).toggles`. A round whose "
        "mode changed within has its classes empty if the mode was off in any part of it."
    ),
    "pages.parquet": (
        "One row per visited page, where page records were asked for. `fakedirty.load(path).pages`, with "
        "`run_id` and `migration_id` in front. A directory, a dataset partitioned by round "
        "(`round=7/000012.parquet`), whole while the migration runs, too: `pyarrow.dataset.dataset(path, "
        "partitioning='hive')` and other tools read it in blocks."
    ),
    "run.json": "One object for each run. `fakedirty.load_campaign(DIR).runs`.",
    "service.csv": (
        "What the guest got done, as it said while it was watched. `fakedirty.load_campaign(DIR).service`. "
        "docs/campaigns.md says what an operation of each workload is."
    ),
}


def dictionary() -> str:
    """The whole document."""
    parts = [HEAD]
    for file, columns in (TABLES | CAMPAIGN_TABLES).items():
        if file in CAMPAIGN_TABLES and CAMPAIGN not in parts:
            parts.append(CAMPAIGN)
        parts.append(f"## {file}\n\n{FILES[file]}\n")
        parts.append("| column | type | unit | meaning |\n| --- | --- | --- | --- |")
        parts += [f"| `{c.name}` | {c.dtype} | {c.unit} | {c.meaning} |" for c in columns]
        parts.append("")
    return "\n".join(parts)


if __name__ == "__main__":
    print(dictionary(), end="")
