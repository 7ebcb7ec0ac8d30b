"""What a report says, section by section, for whoever writes it in HTML or in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from . import findings
from .cells import BASELINE, Cell, cells, treatments
from .charts import by_treatment, fake_pages
from .drawing import Drawing
from .inputs import Plan, ReportInputs, order_of
from .methods import KEY, METHODS
from .metrics import HEADLINES
from .tables import (
    ReportTable,
    audit_sheet,
    difference_sheet,
    fact_sheet,
    left_out_sheet,
    median_sheet,
    outcome_sheet,
    run_sheet,
    unfinished_sheet,
)
from .time_charts import rounds_over_time, service_over_time

AUDITED = "With fake-dirty-audit QEMU keeps a copy of every page, and counts what a hash takes for equal and is not."
NOT_AUDITED = "No run was audited (fake-dirty-audit)."


@dataclass(frozen=True, slots=True)
class Section:
    """A heading of some `level` (2 or 3), and what is below it until the next."""

    title: str
    words: tuple[str, ...] = ()
    drawings: tuple[Drawing, ...] = ()
    sheets: tuple[ReportTable, ...] = ()
    level: int = 2


@dataclass(frozen=True, slots=True)
class Content:
    """The whole of it; `alarms` come before anything else."""

    name: str
    alarms: tuple[str, ...]
    summary: tuple[str, ...]
    sections: tuple[Section, ...]


def content(campaign: ReportInputs, plan: Plan, medians: pd.DataFrame, differences: pd.DataFrame) -> Content:
    """The report on a campaign, from the tables of `compare`."""
    runs = campaign.runs
    compared, names = cells(runs), treatments(runs, order_of(campaign.spec))
    baseline = baseline_of(names)
    return Content(
        campaign.name,
        tuple(findings.alarms(runs, campaign.rounds)),
        (
            *findings.summary(runs, plan.planned),
            *findings.by_cell(compared, names, medians, baseline),
            *findings.limits(compared, names, baseline),
        ),
        (
            *_pages(compared, names),
            *_cells(campaign, compared, names, medians, differences),
            *_ends(campaign, compared, names),
            Section("How figures come about", METHODS),
            Section("How the campaign was made", sheets=(fact_sheet(dict(plan.facts)),)),
        ),
    )


def baseline_of(names: Sequence[str]) -> str | None:
    """What the others are compared with: vanilla, or else the first."""
    return BASELINE if BASELINE in names else next(iter(names), None)


def _pages(compared: Sequence[Cell], names: Sequence[str]) -> Iterator[Section]:
    drawings = _those(fake_pages(compared, name) for name in names)
    words = ("Of the pages that were visited again after they had been sent, how many held just what had been sent.",)
    none = ("No run told changed and fake pages apart.",)
    yield Section("Fake pages by workload and memory", words if drawings else none, drawings)


def _cells(
    campaign: ReportInputs,
    compared: Sequence[Cell],
    names: Sequence[str],
    medians: pd.DataFrame,
    differences: pd.DataFrame,
) -> Iterator[Section]:
    if compared:
        yield Section("Treatments", (KEY,))
    for cell in compared:
        metrics = _those(by_treatment(cell, names, metric) for metric in HEADLINES)
        times = _those(
            (
                rounds_over_time(cell, names, campaign.rounds, campaign.toggles),
                service_over_time(cell, names, campaign.service),
            )
        )
        sheets = [median_sheet(cell, names, medians), difference_sheet(cell, differences)]
        yield Section(cell.title, (), (*metrics, *times), tuple(sheet for sheet in sheets if sheet), level=3)


def _ends(campaign: ReportInputs, compared: Sequence[Cell], names: Sequence[str]) -> Iterator[Section]:
    runs = campaign.runs
    audit = audit_sheet(runs)
    words = AUDITED if audit else NOT_AUDITED
    yield Section("Collisions", (words,), sheets=(audit,) if audit else ())
    bad = unfinished_sheet(runs)
    everything = (outcome_sheet(compared, names), run_sheet(runs)) if len(runs) else ()
    good = () if bad or runs.empty else ("Every run completed.",)
    yield Section("Runs", good, sheets=(*((bad,) if bad else ()), *everything))
    if left_out := left_out_sheet([dict(each) for each in campaign.left_out]):
        yield Section("Treatments that were left out", sheets=(left_out,))


def _those(drawings: Iterable[Drawing | None]) -> tuple[Drawing, ...]:
    return tuple(drawing for drawing in drawings if drawing is not None)
