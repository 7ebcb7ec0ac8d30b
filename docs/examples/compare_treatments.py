"""Compare the treatments of a campaign with pandas: ``python docs/examples/compare_treatments.py DIR``.

Prints, for each cell, how many runs of each treatment completed, the median of their total time and how much of what
they visited again was fake; then how far each treatment is from the first, block by block.
"""

from __future__ import annotations

import sys

import pandas as pd
from fakedirty.campaign.frames import load
from fakedirty.campaign.report.cells import cells, treatments
from fakedirty.campaign.report.compare import differences
from fakedirty.campaign.report.sentences import difference_words

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
    """Pages of a round that were fake, the mean over the runs of a treatment: a row a round."""
    return rounds.pivot_table(index="round", columns="treatment", values="fake_pages", aggfunc="mean").round()


def main(directory: str) -> None:
    campaign = load(directory)
    print(f"{campaign.name}: {len(campaign.runs)} runs\n")
    print(overview(campaign.runs).to_string(), "\n")
    if len(campaign.rounds):
        print("fake pages by round")
        print(fake_by_round(campaign.rounds).to_string(), "\n")
    names = treatments(campaign.runs, campaign.spec["factors"]["treatment"])
    compared = differences(cells(campaign.runs), names, names[0]) if names else pd.DataFrame()
    for row in compared.to_dict("records"):
        if row["metric"] == "total_time_ms":
            print(f"{row['treatment']} less {row['baseline']}, {row['workload']}, {row['memory_mib']} MiB:", end=" ")
            print(f"{difference_words(row)}, {row['pairs']} pairs, Cliff's delta {row['cliffs_delta']:+.2f}")


if __name__ == "__main__":
    main(sys.argv[1])
