"""The report of a campaign: sensible for any, with nothing in it but what was measured."""

from __future__ import annotations

import csv
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest
from campaign_frames import Campaign, campaign, empty
from fakedirty.campaign.report import charts, time_charts
from fakedirty.campaign.report.cells import cells, treatments
from fakedirty.campaign.report.compare import differences, medians
from fakedirty.campaign.report.drawing import label
from fakedirty.campaign.report.markdown import plain
from fakedirty.campaign.report.metrics import HEADLINES
from fakedirty.campaign.report.write import write

NASTY = '<img src=x onerror="document.title=1">$x$ & "ü|`\'\x07</script>'
FACTS = {
    "name": "an example",
    "seed": 7,
    "created_at": "2026-01-02T03:04:05+00:00",
    "versions": {"qemu": "10.0.13", "kernel": "Linux 6.1", "cpu": "a CPU"},
    "left_out": [],
    "file": "/somewhere/example.toml",
}


class Read(HTMLParser):
    """What a browser would make of a page: its elements, the addresses in them, its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.addresses: list[str] = []
        self.handlers: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "action", "data")]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]

    def handle_data(self, data: str) -> None:
        self.text += data


def small(**changes: object) -> Campaign:
    made = campaign(treatments=("vanilla", "skip"), workloads=("workingset",), memories=(256,), blocks=2)
    return replace(made, **changes)  # type: ignore[arg-type]


def written(made: Campaign, directory: Path) -> tuple[Read, str]:
    """The page and the Markdown."""
    path = write(made, directory)
    assert path == directory / "report" / "report.html"
    return Read(path.read_text("utf-8")), (path.parent / "report.md").read_text("utf-8")


def test_it_has_the_findings_the_failures_and_the_methods(tmp_path: Path) -> None:
    made = replace(campaign(workloads=("workingset",)), planned=60, facts=FACTS)
    page, text = written(made, tmp_path)
    for expected in (
        "Made: 48 of 60 runs. 24 completed, 22 did not end within their time limit, 2 failed.",
        "workingset, 512 MiB, 1000 Mbit/s, 1 vCPU: skip had the shortest total time, 4.",
        "vanilla: > 25.0 s, 0 of 6 runs completed",
        "the guest was not ready within 30 s",
        "fake-dirty-mode cannot be used together with multifd",
        "versions.kernel",
        "Linux 6.1",
        "Kaplan-Meier",
    ):
        assert expected in page.text
        assert plain(expected) in text
    assert "no test of paired differences" not in page.text  # six blocks are enough


def test_it_is_one_file_that_loads_nothing(tmp_path: Path) -> None:
    page, _ = written(small(), tmp_path)
    assert not {"script", "iframe", "object", "embed", "form", "base"} & set(page.elements)
    outside = [address for address in page.addresses if not re.match(r"#|data:(image/svg\+xml;base64)?,", address)]
    assert not outside
    ids = set(re.findall(r'<section id="([^"]+)"', (tmp_path / "report" / "report.html").read_text("utf-8")))
    assert {address[1:] for address in page.addresses if address.startswith("#")} == ids


def test_a_report_names_the_limits_of_few_blocks(tmp_path: Path) -> None:
    page, _ = written(small(), tmp_path)
    assert "With 2 blocks no test of paired differences can give a p below 0.5" in page.text
    assert "the range of 2 has the true median in 50 % of cases at most" in page.text


def test_memory_that_differs_is_reported_first(tmp_path: Path) -> None:
    made = small()
    made.runs.loc[made.runs["treatment"] == "skip", "memory_equal"] = False
    page, text = written(made, tmp_path)
    assert "The memory of source and destination differs after 2 runs: " in page.text
    assert page.text.index("differs after") < page.text.index("Made: 4 runs")
    assert "THE MEMORY DIFFERS" in page.text
    assert "**The memory of source" in text


def test_what_the_audit_found_is_reported_first(tmp_path: Path) -> None:
    made = small()
    made.runs.loc[made.runs["treatment"] == "skip", "false_equal_pages"] = 3
    page, _ = written(made, tmp_path)
    assert "The audit found 6 pages in 2 runs" in page.text


def test_rounds_that_are_invalid_are_reported_first(tmp_path: Path) -> None:
    made = small()
    made.rounds.loc[made.rounds["round"] == 2, "valid"] = False
    page, _ = written(made, tmp_path)
    assert "4 rounds of 4 runs are invalid" in page.text


@pytest.mark.parametrize(
    ("totals", "expected"),
    [
        ("missing", "recorded other pages than QEMU's totals count"),
        ("partial", "recorded only a part of the pages that QEMU sent"),
        ("unchecked", "could not be compared with QEMU's own totals"),
        ("equal", None),
        (None, None),
    ],
)
def test_pages_that_are_in_no_round_are_reported_first(
    totals: str | None, expected: str | None, tmp_path: Path
) -> None:
    made = small()
    made.runs.loc[made.runs["treatment"] == "skip", "totals"] = totals
    page, _ = written(made, tmp_path)
    assert (f"2 runs {expected}: " in page.text) if expected else ("migration.json" not in page.text)


def test_names_are_text_whatever_they_look_like(tmp_path: Path) -> None:
    made = campaign(treatments=("vanilla", NASTY), workloads=(NASTY,), memories=(256,), blocks=2, name=NASTY)
    made.left_out = [{"treatment": NASTY, "reason": NASTY}]
    made.runs.loc[made.runs["outcome"] != "completed", "reason"] = NASTY
    page, text = written(replace(made, facts={**FACTS, NASTY: NASTY}), tmp_path)
    assert page.text.count("<img src=x onerror") > 8
    assert not page.handlers
    assert "script" not in page.elements
    assert page.elements.count("img") == page.elements.count("figure")
    assert "<" not in text.replace("\\<", "")
    assert not re.search(r"(?<!\\)\|`", text)


def test_names_in_figures_are_text_too() -> None:
    made = campaign(treatments=("vanilla", NASTY), workloads=(NASTY,), memories=(256,), blocks=2)
    (cell,), names = cells(made.runs), treatments(made.runs)
    drawings = [
        charts.fake_pages([cell], NASTY),
        *(charts.by_treatment(cell, names, metric) for metric in HEADLINES),
        time_charts.rounds_over_time(cell, names, made.rounds, made.toggles),
        time_charts.service_over_time(cell, names, made.service),
    ]
    for drawing in drawings:
        assert drawing is not None
        tags = {element.tag.partition("}")[2] for element in ElementTree.fromstring(drawing.svg).iter()}
        assert not tags & {"img", "script", "foreignObject"}
        assert b"onerror" not in re.sub(rb"&lt;img src=x onerror", b"", drawing.svg)


def test_the_same_campaign_makes_the_same_report(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write(small(), tmp_path / name)
    files = [sorted((tmp_path / name / "report").iterdir()) for name in ("a", "b")]
    assert [file.name for file in files[0]] == [
        "differences.csv",
        "medians.csv",
        "report.html",
        "report.md",
        "runs.csv",
    ]
    assert [file.read_bytes() for file in files[0]] == [file.read_bytes() for file in files[1]]


def test_a_report_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    write(empty(), tmp_path)
    page, _ = written(small(), tmp_path)
    assert "No run has been made yet" not in page.text


def test_tables_are_csv(tmp_path: Path) -> None:
    made = small()
    write(made, tmp_path)
    names, found = treatments(made.runs), cells(made.runs)
    for name, frame in (
        ("medians", medians(found, names)),
        ("differences", differences(found, names, "vanilla")),
    ):
        with (tmp_path / "report" / f"{name}.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == len(frame) > 0
        assert set(rows[0]) == set(frame.columns)
    read = pd.read_csv(tmp_path / "report" / "runs.csv", dtype={"run": "string"})
    assert list(read["run"]) == list(made.runs["run"])


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (empty(), "No run has been made yet."),
        (campaign(("skip",), ("workingset",), (256,), 1), "Made: 1 run. 1 completed, 0 did not"),
        (campaign(("vanilla",), ("workingset",), (512,), 4), "no treatment completed in half of its runs within 25 s"),
        (campaign(("unobserved",), ("idle",), (256,), 2), "No run counted changed and fake pages."),
    ],
    ids=["none", "one", "all cut off", "nothing counted"],
)
def test_any_campaign_has_a_report(made: Campaign, expected: str, tmp_path: Path) -> None:
    page, text = written(made, tmp_path)
    assert expected in page.text
    assert "nan" not in page.text.lower()
    assert plain(expected) in text


def test_runs_that_all_failed_have_a_report(tmp_path: Path) -> None:
    made = campaign(("xbzrle-ram",), ("workingset",), (256,), 4)
    failed = made.runs[made.runs["outcome"] == "failed"].reset_index(drop=True)
    none = {"rounds": made.rounds.iloc[:0], "service": made.service.iloc[:0]}
    page, _ = written(replace(made, runs=failed, **none), tmp_path)
    assert "1 failed" in page.text
    assert "the guest was not ready within 30 s" in page.text


def test_factors_that_are_not_known_have_a_report(tmp_path: Path) -> None:
    made = small()
    made.runs["mbit"] = pd.array([None] * len(made.runs), dtype="Int64")
    page, _ = written(made, tmp_path)
    assert "no limit of bandwidth" in page.text


@pytest.mark.filterwarnings("error")
def test_a_name_in_any_script_is_drawn() -> None:
    (cell,) = cells(campaign(treatments=("跳过",), workloads=("集",), memories=(256,), blocks=2).runs)
    drawing = charts.by_treatment(cell, ["跳过"], HEADLINES[0])
    assert drawing is not None
    assert "跳过" in drawing.svg.decode()


@pytest.mark.parametrize(
    ("text", "shown"), [("a\nb\x00", r"a\nb\u0000"), ("x" * 50, "x" * 39 + "…"), ("ü $a$", "ü $a$")]
)
def test_a_label_is_one_line_that_xml_can_have(text: str, shown: str) -> None:
    assert label(text) == shown


def test_markdown_is_taken_as_it_stands() -> None:
    assert plain("a | b\n<b>*_`#") == "a \\| b \\<b\\>\\*\\_\\`\\#"
