"""The documents of the report, compared with the code; their example is run."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from campaign_directory import lay_out
from campaign_frames import campaign
from fakedirty.campaign.report.cells import cells, treatments
from fakedirty.campaign.report.columns import REPORT_TABLES
from fakedirty.campaign.report.compare import differences, medians
from fakedirty.campaign.report.statistics import coverage, smallest_p
from fakedirty.cli.main import main

DOCS = Path(__file__).parents[4] / "docs"
EXAMPLE = DOCS / "examples" / "compare_treatments.py"


@pytest.mark.parametrize("table", REPORT_TABLES)
def test_the_document_has_every_column(table: str) -> None:
    section = (DOCS / "campaign-report.md").read_text().partition(f"### {table}\n")[2].partition("\n###")[0]
    written = [line for line in section.splitlines() if line.startswith("| `")]
    assert written == [f"| `{c.name}` | {c.dtype} | {c.unit} | {c.meaning} |" for c in REPORT_TABLES[table]]


def test_tables_have_the_columns_that_are_defined() -> None:
    runs = campaign(("vanilla", "skip"), ("workingset",), (256,), 2).runs
    made = {
        "medians.csv": medians(cells(runs), treatments(runs)),
        "differences.csv": differences(cells(runs), treatments(runs), "vanilla"),
    }
    for name, frame in made.items():
        assert list(frame.columns) == [column.name for column in REPORT_TABLES[name]]
        assert frame.notna().any(axis=None)


def test_the_limits_of_few_blocks_are_those_of_the_document() -> None:
    text = " ".join((DOCS / "campaign-report.md").read_text().split())
    assert f"{smallest_p(3):g} with three, {smallest_p(5):g} with five, {smallest_p(6):.3f} with six" in text
    assert f"{100 * coverage(3):g} % with three runs, {100 * coverage(5):g} % with five" in text


def test_the_example_compares_a_campaign(tmp_path: Path) -> None:
    lay_out(campaign(workloads=("workingset",)), tmp_path)
    command = [sys.executable, str(EXAMPLE), str(tmp_path)]
    made = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert made.returncode == 0, made.stderr
    assert "an example: 48 runs" in made.stdout
    assert "skip minus vanilla, workingset, 512 MiB: below −2" in made.stdout
    assert "6 pairs, Cliff's delta -1.00" in made.stdout


def test_the_example_ends_in_one_line_where_there_is_no_campaign(tmp_path: Path) -> None:
    command = [sys.executable, str(EXAMPLE), str(tmp_path / "none")]
    made = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (made.returncode, made.stdout) == (1, "")
    assert made.stderr == (
        f"compare_treatments.py: {tmp_path / 'none'} is not the directory of a campaign: it has no campaign.json\n"
    )


def test_the_examples_overview_counts_what_did_not_complete() -> None:
    made = campaign(workloads=("workingset",))
    functions = runpy.run_path(str(EXAMPLE), run_name="example")
    shown = functions["overview"](made.runs).loc[("workingset", 512, 1000, 1)]
    assert shown.loc["vanilla", "total_seconds"] == float("inf")
    assert list(shown.loc["skip", ["runs", "completed"]]) == [6, 6]
    assert shown.loc["skip", "fake_share"] == pytest.approx(0.9, abs=0.06)
    assert pd.isna(shown.loc["unobserved", "fake_share"])
    assert functions["fake_by_round"](made.rounds).loc[1, "skip"] == 0


def test_a_campaign_that_is_read_back_makes_a_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lay_out(campaign(("vanilla", "skip"), ("workingset",), (256,), 2), tmp_path)
    assert main(["campaign", "report", str(tmp_path), "--json"]) == 0
    text = Path(json.loads(capsys.readouterr().out)["report"]).read_text()
    assert "Made: 4 runs." in text
    assert "versions.kernel" in text
