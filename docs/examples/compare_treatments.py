"""Compare the treatments of a campaign with pandas: ``python docs/examples/compare_treatments.py DIR``.

DIR is the directory of a campaign. For each cell this prints how many runs of each treatment completed, the median of
their total time, and the share of fake pages among those that were visited again. Then it prints the difference of each
treatment to the baseline, block by block.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pandas as pd
from fakedirty.campaign.frames import load
from fakedirty.campaign.report.compare import compare
from fakedirty.campaign.report.estimate_text import difference_text
from fakedirty.errors import FakedirtyError

CELL = ["workload", "memory_mib", "mbit", "vcpus"]


def overview(runs: pd.DataFrame) -> pd.DataFrame:
    """A row for each cell and treatment. A run that did not complete counts as longer than all others."""
    again = runs["fake_pages"] + runs["changed_pages"]
    shown = runs.assign(
        completed=runs["outcome"].eq("completed"),
        total_seconds=runs["total_time_ms"].astype("Float64").div(1000).fillna(float("inf")),
        fake_share=runs["fake_pages"].astype("Float64").div(again.where(again > 0)),
    )
    return shown.groupby([*CELL, "treatment"]).agg(
        runs=("run", "size"),
        completed=("completed", "sum"),
        total_seconds=("total_seconds", "median"),
        fake_share=("fake_share", "median"),
    )


def fake_by_round(rounds: pd.DataFrame) -> pd.DataFrame:
    """The fake pages of each round, as the mean over the runs of a treatment: a row for each round."""
    return rounds.pivot_table(index="round", columns="treatment", values="fake_pages", aggfunc="mean").round()


def print_comparison(directory: Path) -> None:
    """Print everything about the campaign in `directory`."""
    campaign = load(directory)
    print(f"{campaign.name}: {len(campaign.runs)} runs\n")
    print(overview(campaign.runs).to_string(), "\n")
    if len(campaign.rounds):
        print("fake pages by round")
        print(fake_by_round(campaign.rounds).to_string(), "\n")
    comparison = compare(campaign.runs, campaign.spec["factors"]["treatment"])
    for row in comparison.differences.to_dict("records"):
        if row["metric"] == "total_time_ms":
            print(f"{row['treatment']} minus {row['baseline']}, {row['workload']}, {row['memory_mib']} MiB:", end=" ")
            print(f"{difference_text(row)}, {row['pairs']} pairs, Cliff's delta {row['cliffs_delta']:+.2f}")


def main() -> int:
    """The exit status: 0, or 1 with one line on standard error."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path, metavar="DIR", help="the directory of a campaign")
    try:
        print_comparison(parser.parse_args().directory)
    except FakedirtyError as error:
        print(f"compare_treatments.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
