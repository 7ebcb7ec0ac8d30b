"""Writes ``docs/data-dictionary.md`` from the tables of columns: ``python -m fakedirty.record.dictionary``."""

from __future__ import annotations

from fakedirty.campaign.columns import CAMPAIGN_TABLES

from .columns import TABLES
from .manifest import SCHEMA_VERSION

HEAD = f"""# Data dictionary

`python -m fakedirty.record.dictionary` makes this page from `fakedirty.record.columns`; a test compares the two.

Each migration has a directory, `OUT/<vm>/<start>-<migration_id>/`, with the files below and `manifest.json`: versions,
clock, command lines, parameters; `schema_version` {SCHEMA_VERSION}; and, to distinguish VMs of the same name, `process`
(process id and start time of the QEMU) and `uuid` (of its guest). While the migration runs, the name of the directory
ends in `.partial`. It keeps that name if the collector was killed or could not write any more; the data that were
recorded before are readable. In the path, the name of the VM is percent-encoded where necessary; the files have the
name as it is.

`fakedirty.load(path)` reads one such directory, or all below a directory, into pandas frames `rounds`,
`migrations`, `toggles` and `pages`, with the types below. An empty field (`<NA>` in a frame) is a value that the source
could not see; it never means 0. Pages are target pages of the size that QEMU uses. Text is UTF-8.
"""

CAMPAIGN = """\
# Campaigns

A campaign (`fakedirty campaign`, see docs/campaigns.md) has a directory for each run, `DIR/runs/<run>/`. It contains
the recording of the migration, as above, the files below, and `experiment.json` (versions, command lines, parameters,
seed, and the toggles that were made). `fakedirty.load_campaign(DIR)` reads all runs into pandas frames `runs`,
`rounds`, `toggles` and `service`; the first columns of `rounds` and `toggles` are the run and its factors.
`fakedirty campaign export` writes `long.csv`: `runs` with one row for each run and metric, in the columns `metric`,
`unit` and `value`.
"""

#: description of each file
FILES = {
    "rounds.csv": "One line per round, written when the round ends. `fakedirty.load(path).rounds`.",
    "migration.json": (
        "One object. The members below are the columns of `fakedirty.load(path).migrations`. Further members: "
        "`state` (QEMU's last), `lost_where` (lost events by place), `invalid_reasons` (by round), `verdict` (the "
        "last forecast before the guest was stopped, see docs/verdict.md; it is withdrawn if it has `refuted`) and "
        "`query_migrate` (the last answer in full, with `postcopy` of QEMU's history of rounds where that has it). The "
        "file is missing if the collector was killed: then the manifest takes its place."
    ),
    "toggles.csv": (
        "One line whenever QEMU adopts a mode or a hash, whoever set it, written at once; `read_back` is filled in "
        "when the migration has ended. `fakedirty.load(path).toggles`. If the mode was off in any part of a round, the "
        "classes of that round are empty."
    ),
    "pages.parquet": (
        "One row per visited page, of an observation with page records. `fakedirty.load(path).pages`, where the first "
        "columns are `run_id` and `migration_id`. It is a directory: a dataset partitioned by round "
        "(`round=7/000012.parquet`), which can be read while the migration runs. `pyarrow.dataset.dataset(path, "
        "partitioning='hive')` and other tools read it in blocks."
    ),
    "run.json": "One object for each run. `fakedirty.load_campaign(DIR).runs`.",
    "service.csv": (
        "Throughput of the guest, as the guest reported it during the run. `fakedirty.load_campaign(DIR).service`. "
        "docs/campaigns.md defines an operation for each workload."
    ),
}


def dictionary() -> str:
    """The whole document, in Markdown."""
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
