"""The content of a report, section by section. HTML and Markdown are written from it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from . import findings
from .cells import Cell
from .charts import by_treatment, fake_pages
from .compare import Comparison
from .drawing import Drawing
from .inputs import ReportInputs, listed_facts
from .methods import KEY, METHODS
from .metrics import HEADLINES
from .tables import (
    ReportTable,
    audit_table,
    difference_table,
    fact_table,
    left_out_table,
    median_table,
    outcome_table,
    run_table,
    unfinished_table,
)
from .time_charts import rounds_over_time, service_over_time

AUDITED = (
    "With fake-dirty-audit, QEMU keeps a copy of every page. It counts the pages that a hash wrongly takes for equal."
)
NOT_AUDITED = "No run was audited (fake-dirty-audit)."


@dataclass(frozen=True, slots=True)
class Section:
    """A heading of `level` 2 or 3, and everything below it until the next heading."""

    title: str
    paragraphs: tuple[str, ...] = ()
    drawings: tuple[Drawing, ...] = ()
    tables: tuple[ReportTable, ...] = ()
    level: int = 2


@dataclass(frozen=True, slots=True)
class Content:
    """The whole report. Its `alarms` stand before everything else."""

    name: str
    alarms: tuple[str, ...]
    summary: tuple[str, ...]
    sections: tuple[Section, ...]


def content(campaign: ReportInputs, comparison: Comparison) -> Content:
    """The report on a campaign whose treatments were compared."""
    runs, cells, names = campaign.runs, comparison.cells, comparison.treatments
    return Content(
        campaign.name,
        tuple(findings.alarms(runs, campaign.rounds)),
        (
            *findings.summary(runs, campaign.planned),
            *findings.by_cell(cells, comparison.medians, comparison.baseline),
            *findings.limits(cells, names, comparison.baseline),
        ),
        (
            *_fake_pages(cells, names),
            *_cells(campaign, comparison),
            *_runs(campaign, comparison),
            Section("How the figures are computed", METHODS),
            Section("How the campaign was made", tables=(fact_table(listed_facts(campaign.facts)),)),
        ),
    )


def _fake_pages(cells: Sequence[Cell], names: Sequence[str]) -> Iterator[Section]:
    drawings = _drawn(fake_pages(cells, name) for name in names)
    text = "The share of fake pages among the pages that were visited again after they had been sent."
    none = "No run counted changed and fake pages."
    yield Section("Fake pages by workload and memory", (text if drawings else none,), drawings)


def _cells(campaign: ReportInputs, comparison: Comparison) -> Iterator[Section]:
    names = comparison.treatments
    if comparison.cells:
        yield Section("Treatments", (KEY,))
    for cell in comparison.cells:
        metrics = _drawn(by_treatment(cell, names, metric) for metric in HEADLINES)
        times = _drawn(
            (
                rounds_over_time(cell, names, campaign.rounds, campaign.toggles),
                service_over_time(cell, names, campaign.service),
            )
        )
        tables = [median_table(cell, names, comparison.medians), difference_table(cell, comparison.differences)]
        yield Section(cell.title, (), (*metrics, *times), tuple(table for table in tables if table), level=3)


def _runs(campaign: ReportInputs, comparison: Comparison) -> Iterator[Section]:
    runs = campaign.runs
    audit = audit_table(runs)
    yield Section("Collisions", (AUDITED if audit else NOT_AUDITED,), tables=(audit,) if audit else ())
    bad = unfinished_table(runs)
    everything = (outcome_table(comparison.cells, comparison.treatments), run_table(runs)) if len(runs) else ()
    good = () if bad or runs.empty else ("Every run completed.",)
    yield Section("Runs", good, tables=(*((bad,) if bad else ()), *everything))
    if left_out := left_out_table([dict(each) for each in campaign.left_out]):
        yield Section("Treatments that were left out", tables=(left_out,))


def _drawn(drawings: Iterable[Drawing | None]) -> tuple[Drawing, ...]:
    return tuple(drawing for drawing in drawings if drawing is not None)
