"""The tables of a report: each once, as text, for whoever writes it in HTML or in Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from fakedirty.format.numbers import UNSEEN
from fakedirty.record.load import rows as rows_of

from .cells import FACTORS, Cell, said
from .metrics import HEADLINES, METRICS, numbers
from .sentences import BY_COLUMN, Row, difference_words, median_words, p_words, ratio_words

OUTCOMES = ("completed", "time-limit", "failed")
COMPARED = (*(metric.column for metric in HEADLINES), "degradation")


@dataclass(frozen=True, slots=True)
class ReportTable:
    """A table: the first `words` columns are text, the others figures; one that is `folded` is opened on demand."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: int = 1
    folded: bool = False


def outcome_sheet(cells: Sequence[Cell], treatments: Sequence[str]) -> ReportTable:
    """How many runs came to what end."""
    rows = []
    for cell in cells:
        for treatment in treatments:
            runs = cell.of(treatment)
            if len(runs):
                ends = [str(int((runs["outcome"] == outcome).sum())) for outcome in OUTCOMES]
                rows.append((cell.title, treatment, str(len(runs)), *ends, _equal(runs)))
    heads = ("cell", "treatment", "runs", "completed", "cut off at the limit", "failed", "memory equal")
    return ReportTable("How the runs ended", heads, tuple(rows), words=2, folded=True)


def median_sheet(cell: Cell, treatments: Sequence[str], medians: pd.DataFrame) -> ReportTable:
    """Of one cell: a row for each treatment, a column for each metric that any has."""
    own = cell.select(medians)
    there = set(own["metric"])
    shown = [metric for metric in METRICS if metric.column in there]
    said = {(row["treatment"], row["metric"]): median_words(row) for row in rows_of(own)}
    rows = []
    for treatment in treatments:
        runs = cell.of(treatment)
        if len(runs):
            completed = f"{(runs['outcome'] == 'completed').sum()} of {len(runs)}"
            rows.append((treatment, completed, *(said.get((treatment, each.column), UNSEEN) for each in shown)))
    heads = ("treatment", "completed", *(metric.title for metric in shown))
    return ReportTable("Medians (95 % interval)", heads, tuple(rows))


def difference_sheet(cell: Cell, differences: pd.DataFrame) -> ReportTable | None:
    """Of one cell: what treatments change; None where nothing is compared."""
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
            difference_words(row),
            ratio_words(row),
            f"{row['smaller']} / {row['greater']}",
            f"{row['cliffs_delta']:+.2f}",
            row["test"],
            p_words(row["p"]),
            p_words(row["p_holm"]),
            p_words(row["smallest_p"]),
        )
        for row in rows_of(own)
    )
    heads = (
        *("metric", "treatment", "pairs", "median difference (95 % interval)", "of the baseline"),
        *("smaller / greater", "Cliff's delta", "test", "p", "p, Holm", "smallest p there can be"),
    )
    baseline = own["baseline"].iloc[0]
    return ReportTable(f"Against {baseline}, block by block", heads, rows, words=2)


def audit_sheet(runs: pd.DataFrame) -> ReportTable | None:
    """What the audit found, by treatment; None where no run was audited."""
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


def unfinished_sheet(runs: pd.DataFrame) -> ReportTable | None:
    """Runs that did not complete, with the reason, and those whose memory differed; None where there are none."""
    bad = runs[(runs["outcome"] != "completed") | _differs(runs)]
    if bad.empty:
        return None
    rows = tuple((*_which(row), _reason(row)) for row in rows_of(bad.sort_values("run")))
    return ReportTable("Not completed", ("run", "cell", "treatment", "block", "outcome", "reason"), rows, words=6)


def run_sheet(runs: pd.DataFrame) -> ReportTable:
    """Every run."""
    shown = [metric for metric in METRICS if metric.column in (*COMPARED, "rounds", "fake_pages")]
    figures = {metric.column: numbers(runs[metric.column]) for metric in shown}
    rows = []
    for place, row in enumerate(rows_of(runs)):
        values = [(metric, float(figures[metric.column][place])) for metric in shown]
        written = [UNSEEN if math.isnan(value) else metric.text(value) for metric, value in values]
        rows.append((*_which(row), *written))
    heads = ("run", "cell", "treatment", "block", "outcome", *(metric.title for metric in shown))
    return ReportTable("All runs", heads, tuple(sorted(rows)), words=5, folded=True)


def left_out_sheet(left_out: Sequence[dict[str, str]]) -> ReportTable | None:
    """Treatments that QEMU refused; None if it took them all."""
    if not left_out:
        return None
    rows = tuple((_text(each.get("treatment")), _text(each.get("reason"))) for each in left_out)
    return ReportTable("Left out", ("treatment", "why, in QEMU's words"), rows, words=2)


def fact_sheet(facts: dict[str, str]) -> ReportTable:
    """What the campaign was made by, on and with."""
    return ReportTable("Manifest", ("fact", "value"), tuple(facts.items()), words=2)


def _equal(runs: pd.DataFrame) -> str:
    """How many of those whose memory was compared."""
    compared = numbers(runs["memory_equal"])
    compared = compared[~pd.isna(compared)]
    return f"{int(compared.sum())} of {len(compared)}" if len(compared) else UNSEEN


def _differs(runs: pd.DataFrame) -> pd.Series:
    return pd.Series(numbers(runs["memory_equal"]) == 0, index=runs.index)


def _reason(row: Row) -> str:
    differs = "THE MEMORY DIFFERS" if row["memory_equal"] is not None and not row["memory_equal"] else ""
    return "; ".join(filter(None, (str(row["reason"] or ""), differs)))


def _which(row: Row) -> tuple[str, ...]:
    """Run, cell, treatment, block, outcome."""
    run, *others = (_text(row[name]) for name in ("run", "treatment", "block", "outcome"))
    return run, _cell_words(row), *others


def _cell_words(row: Row) -> str:
    return ", ".join(said(name, row[name]) for name in FACTORS)


def _text(value: object) -> str:
    return UNSEEN if value is None else str(value)
