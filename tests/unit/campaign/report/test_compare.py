"""Tables of a campaign: the place of runs that did not complete, and which runs are compared."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from campaign_frames import LIMIT, campaign, empty
from fakedirty.campaign.report.cells import cells, treatments
from fakedirty.campaign.report.compare import differences, medians
from fakedirty.campaign.report.metrics import METRICS, RunMetric
from fakedirty.campaign.report.statistics import holm, smallest_p

BY_COLUMN = {metric.column: metric for metric in METRICS}
TOTAL = BY_COLUMN["total_time_ms"]


@pytest.fixture(scope="module")
def runs() -> pd.DataFrame:
    return campaign().runs


@pytest.fixture(scope="module")
def compared(runs: pd.DataFrame) -> pd.DataFrame:
    return differences(cells(runs), treatments(runs), "vanilla")


@pytest.fixture(scope="module")
def frame(runs: pd.DataFrame) -> pd.DataFrame:
    return medians(cells(runs), treatments(runs))


def row(frame: pd.DataFrame, treatment: str, metric: RunMetric, memory: int = 512) -> Any:
    chosen = frame[
        (frame["workload"] == "workingset")
        & (frame["memory_mib"] == memory)
        & (frame["treatment"] == treatment)
        & (frame["metric"] == metric.column)
    ]
    assert len(chosen) == 1
    return chosen.iloc[0]


def test_a_cell_has_the_runs_that_differ_in_treatment_and_block_alone(runs: pd.DataFrame) -> None:
    made = cells(runs)
    assert [cell.title for cell in made] == [
        "quicksort, 256 MiB, 1000 Mbit/s, 1 vCPU",
        "quicksort, 512 MiB, 1000 Mbit/s, 1 vCPU",
        "workingset, 256 MiB, 1000 Mbit/s, 1 vCPU",
        "workingset, 512 MiB, 1000 Mbit/s, 1 vCPU",
    ]
    assert sum(len(cell.runs) for cell in made) == len(runs)


def test_a_factor_that_is_not_known_makes_a_cell_too(runs: pd.DataFrame) -> None:
    unlimited = runs.assign(mbit=pd.array([None] * len(runs), dtype="Int64"))
    assert "no limit of bandwidth" in cells(unlimited)[0].title


def test_treatments_stand_in_the_order_of_the_file_behind_the_baseline(runs: pd.DataFrame) -> None:
    assert treatments(runs, ["skip", "never run"]) == ["vanilla", "skip", "unobserved", "xbzrle-ram"]


def test_a_run_that_reached_its_limit_is_censored_there(runs: pd.DataFrame) -> None:
    sample = TOTAL.sample(runs[runs["outcome"] == "time-limit"])
    assert sample.censored.all()
    assert (sample.values == LIMIT * 1000).all()


def test_a_run_that_failed_is_censored_where_it_failed(runs: pd.DataFrame) -> None:
    failed = runs[runs["outcome"] == "failed"]
    assert len(failed) == 4
    assert (TOTAL.sample(failed).values == 0).all()
    assert TOTAL.sample(failed).censored.all()
    assert (TOTAL.sample(failed.assign(total_time_ms=1200)).values == 1200).all()


def test_no_run_is_missing_from_the_total_time(runs: pd.DataFrame, frame: pd.DataFrame) -> None:
    total = frame[frame["metric"] == TOTAL.column]
    assert total["used"].sum() == total["runs"].sum() == len(runs)


def test_downtime_is_that_of_completed_runs(frame: pd.DataFrame) -> None:
    few = row(frame, "vanilla", BY_COLUMN["downtime_ms"], memory=256)
    assert (few["runs"], few["used"], few["censored"]) == (6, 1, 0)
    assert not len(
        frame[(frame["treatment"] == "vanilla") & (frame["memory_mib"] == 512) & (frame["metric"] == "downtime_ms")]
    )


def test_medians_are_those_of_the_runs(runs: pd.DataFrame, frame: pd.DataFrame) -> None:
    own = runs[(runs["workload"] == "workingset") & (runs["memory_mib"] == 512)]
    skip = own[own["treatment"] == "skip"]["total_time_ms"].astype(float)
    assert row(frame, "skip", TOTAL)["median"] == np.median(skip)
    vanilla = row(frame, "vanilla", TOTAL)
    assert vanilla["median"] == math.inf
    assert vanilla["at_least"] == LIMIT * 1000
    # what a run had sent when it was cut off is less than it would have sent
    assert row(frame, "vanilla", BY_COLUMN["link_bytes"])["censored"] == 6


def test_what_nobody_saw_has_no_row(frame: pd.DataFrame) -> None:
    assert not len(frame[(frame["treatment"] == "unobserved") & (frame["metric"] == "fake_pages")])


def test_a_difference_is_of_runs_of_one_block(runs: pd.DataFrame, compared: pd.DataFrame) -> None:
    own = runs[(runs["workload"] == "workingset") & (runs["memory_mib"] == 512)].set_index(["treatment", "block"])
    use = own["bandwidth_use"].astype(float)
    made = row(compared, "skip", BY_COLUMN["bandwidth_use"])
    assert made["difference_least"] == made["difference_most"] == pytest.approx((use["skip"] - use["vanilla"]).median())
    assert made["ratio_least"] == pytest.approx((use["skip"] / use["vanilla"]).median())
    assert made["pairs"] == 6


def test_the_order_of_the_runs_does_not_matter(runs: pd.DataFrame, compared: pd.DataFrame) -> None:
    shuffled = runs.sample(frac=1, random_state=3)
    again = differences(cells(shuffled), treatments(shuffled), "vanilla")
    pd.testing.assert_frame_equal(again, compared)


def test_a_difference_to_runs_that_did_not_end_is_a_bound(compared: pd.DataFrame) -> None:
    made = row(compared, "skip", TOTAL)
    assert made["difference_least"] == -math.inf
    assert made["difference_most"] < -20_000
    assert made["ratio_most"] < 0.2
    assert (made["smaller"], made["greater"], made["cliffs_delta"]) == (6, 0, -1)
    assert (made["test"], made["p"]) == ("sign", smallest_p(6))


def test_p_is_corrected_over_the_comparisons_of_a_metric(compared: pd.DataFrame) -> None:
    for metric in ("total_time_ms", "bandwidth_use"):
        tested = compared[(compared["metric"] == metric) & compared["p"].notna()]
        assert len(tested) > 3
        assert list(tested["p_holm"]) == holm([float(p) for p in tested["p"]])
    assert compared["p_holm"].isna().eq(compared["p"].isna()).all()


def test_a_block_that_lacks_the_baseline_is_no_pair(runs: pd.DataFrame) -> None:
    some = runs[~((runs["treatment"] == "vanilla") & (runs["block"] == 1))]
    assert row(differences(cells(some), treatments(some), "vanilla"), "skip", TOTAL)["pairs"] == 5


def test_nothing_is_compared_where_there_is_nothing() -> None:
    none = empty().runs
    assert cells(none) == []
    assert treatments(none) == []
    assert medians([], []).empty
    assert differences([], [], None).empty
    alone = campaign(treatments=("skip",)).runs
    assert differences(cells(alone), treatments(alone), "vanilla").empty


def test_figures_carry_their_unit_and_sign() -> None:
    assert TOTAL.text(2850) == "2.85 s"
    assert TOTAL.signed(-57_000) == "−57.0 s"
    assert BY_COLUMN["link_bytes"].signed(3e8) == "+300 MB"
    assert BY_COLUMN["degradation"].signed(-0.02) == "−2.0 points"
