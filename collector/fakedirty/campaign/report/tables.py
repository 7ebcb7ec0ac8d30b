"""The tables of a report, as text. HTML and Markdown are written from them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from fakedirty.format.numbers import UNSEEN
from fakedirty.record.load import rows as rows_of

from .cells import FACTORS, Cell, factor_text
from .estimate_text import BY_COLUMN, Row, difference_text, median_text, p_text, ratio_text
from .metrics import HEADLINES, METRICS, numbers

OUTCOMES = ("completed", "time-limit", "failed")
COMPARED = (*(metric.column for metric in HEADLINES), "degradation")


@dataclass(frozen=True, slots=True)
class ReportTable:
    """A table.

    Attributes:
        title: stands above it.
        heads: one for each column.
        rows: the cells, as text.
        text_columns: so many columns from the left are text; the others are figures.
        folded: whether the reader has to open the table.
    """

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    text_columns: int = 1
    folded: bool = False


def outcome_table(cells: Sequence[Cell], treatments: Sequence[str]) -> ReportTable:
    """How the runs of each cell and treatment ended."""
    rows = []
    for cell in cells:
        for treatment in treatments:
            runs = cell.of(treatment)
            if len(runs):
                ends = [str(int((runs["outcome"] == outcome).sum())) for outcome in OUTCOMES]
                rows.append((cell.title, treatment, str(len(runs)), *ends, _equal(runs)))
    heads = ("cell", "treatment", "runs", "completed", "cut off at the limit", "failed", "memory equal")
    return ReportTable("How the runs ended", heads, tuple(rows), text_columns=2, folded=True)


def median_table(cell: Cell, treatments: Sequence[str], medians: pd.DataFrame) -> ReportTable:
    """The medians of one cell: a row for each treatment, a column for each metric that has a value."""
    own = cell.select(medians)
    there = set(own["metric"])
    shown = [metric for metric in METRICS if metric.column in there]
    texts = {(row["treatment"], row["metric"]): median_text(row) for row in rows_of(own)}
    rows = []
    for treatment in treatments:
        runs = cell.of(treatment)
        if len(runs):
            completed = f"{(runs['outcome'] == 'completed').sum()} of {len(runs)}"
            rows.append((treatment, completed, *(texts.get((treatment, each.column), UNSEEN) for each in shown)))
    heads = ("treatment", "completed", *(metric.title for metric in shown))
    return ReportTable("Medians (95 % interval)", heads, tuple(rows))


def difference_table(cell: Cell, differences: pd.DataFrame) -> ReportTable | None:
    """The differences of one cell; None if nothing is compared."""
    own = cell.select(differences)
    own = own[own["metric"].isin(COMPARED)]
    if own.empty:
        return None
    own = own.assign(order=own["metric"].map(COMPARED.index)).sort_values("order", kind="stable")
    rows = tuple(
        (
            BY_COLUMN[row["metric"]].title,
            row["treatment"],
            str(row["pairs"]),
            difference_text(row),
            ratio_text(row),
            f"{row['smaller']} / {row['greater']}",
            f"{row['cliffs_delta']:+.2f}",
            row["test"],
            p_text(row["p"]),
            p_text(row["p_holm"]),
            p_text(row["smallest_p"]),
        )
        for row in rows_of(own)
    )
    heads = (
        *("metric", "treatment", "pairs", "median difference (95 % interval)", "of the baseline"),
        *("smaller / greater", "Cliff's delta", "test", "p", "p, Holm", "smallest p there can be"),
    )
    baseline = own["baseline"].iloc[0]
    return ReportTable(f"Against {baseline}, block by block", heads, rows, text_columns=2)


def audit_table(runs: pd.DataFrame) -> ReportTable | None:
    """The findings of the audit, by treatment; None if no run was audited."""
    audited = runs[~pd.isna(runs["false_equal_pages"])]
    if audited.empty:
        return None
    rows = []
    for treatment, own in audited.groupby("treatment"):
        fake, wrong = numbers(own["fake_pages"]), numbers(own["false_equal_pages"])
        compared = "" if pd.isna(fake).all() else f"{pd.Series(fake).sum():,.0f}"
        hit = str(int((wrong > 0).sum()))
        rows.append((str(treatment), str(len(own)), compared or UNSEEN, f"{wrong.sum():,.0f}", hit))
    heads = ("treatment", "runs audited", "pages taken for equal", "of them not equal", "runs with any")
    return ReportTable("Audit", heads, tuple(rows))


def unfinished_table(runs: pd.DataFrame) -> ReportTable | None:
    """The runs that did not complete, and those whose memory differed, with the reason; None if there are none."""
    bad = runs[(runs["outcome"] != "completed") | _differs(runs)]
    if bad.empty:
        return None
    rows = tuple((*_which(row), _reason(row)) for row in rows_of(bad.sort_values("run")))
    heads = ("run", "cell", "treatment", "block", "outcome", "reason")
    return ReportTable("Not completed", heads, rows, text_columns=6)


def run_table(runs: pd.DataFrame) -> ReportTable:
    """Every run."""
    shown = [metric for metric in METRICS if metric.column in (*COMPARED, "rounds", "fake_pages")]
    figures = {metric.column: numbers(runs[metric.column]) for metric in shown}
    rows = []
    for place, row in enumerate(rows_of(runs)):
        values = [(metric, float(figures[metric.column][place])) for metric in shown]
        shown_values = [UNSEEN if math.isnan(value) else metric.text(value) for metric, value in values]
        rows.append((*_which(row), *shown_values))
    heads = ("run", "cell", "treatment", "block", "outcome", *(metric.title for metric in shown))
    return ReportTable("All runs", heads, tuple(sorted(rows)), text_columns=5, folded=True)


def left_out_table(left_out: Sequence[dict[str, str]]) -> ReportTable | None:
    """The treatments that QEMU refused; None if it took them all."""
    if not left_out:
        return None
    rows = tuple((_text(each.get("treatment")), _text(each.get("reason"))) for each in left_out)
    return ReportTable("Left out", ("treatment", "reason, as QEMU gives it"), rows, text_columns=2)


def fact_table(facts: dict[str, str]) -> ReportTable:
    """What the campaign was made with: versions, host, QEMU, seed."""
    return ReportTable("Manifest", ("fact", "value"), tuple(facts.items()), text_columns=2)


def _equal(runs: pd.DataFrame) -> str:
    """How many of the compared memories were equal."""
    compared = numbers(runs["memory_equal"])
    compared = compared[~pd.isna(compared)]
    return f"{int(compared.sum())} of {len(compared)}" if len(compared) else UNSEEN


def _differs(runs: pd.DataFrame) -> pd.Series:
    return pd.Series(numbers(runs["memory_equal"]) == 0, index=runs.index)


def _reason(row: Row) -> str:
    differs = "THE MEMORY DIFFERS" if row["memory_equal"] is not None and not row["memory_equal"] else ""
    return "; ".join(filter(None, (str(row["reason"] or ""), differs)))


def _which(row: Row) -> tuple[str, ...]:
    """The columns run, cell, treatment, block, outcome."""
    run, *others = (_text(row[name]) for name in ("run", "treatment", "block", "outcome"))
    return run, _cell_text(row), *others


def _cell_text(row: Row) -> str:
    return ", ".join(factor_text(name, row[name]) for name in FACTORS)


def _text(value: object) -> str:
    return UNSEEN if value is None else str(value)
