"""The report on a campaign, written into its directory: HTML, Markdown, and its tables as CSV."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from fakedirty.record.durable import replacing

from .cells import cells, treatments
from .compare import differences, medians
from .content import baseline_of, content
from .html import html
from .inputs import ReportInputs, order_of, plan_of
from .markdown import markdown

REPORT = "report"


def write(campaign: ReportInputs, directory: Path) -> Path:
    """Make ``report/`` in the `directory` of a campaign, finished or not; its ``report.html`` is returned.

    Beside it are ``report.md`` and ``medians.csv``, ``differences.csv``, ``runs.csv``. Each file is whole, and takes
    the place of one that is there. Raises OSError where they cannot be written, RecordError for a plan that is none.
    """
    plan = plan_of(directory)
    compared, names = cells(campaign.runs), treatments(campaign.runs, order_of(campaign.spec))
    tables = {
        "medians.csv": medians(compared, names),
        "differences.csv": differences(compared, names, baseline_of(names)),
        "runs.csv": campaign.runs,
    }
    said = content(campaign, plan, tables["medians.csv"], tables["differences.csv"])
    out = directory / REPORT
    out.mkdir(parents=True, exist_ok=True)
    files = {"report.md": markdown(said), "report.html": html(said)} | {
        name: _csv(frame) for name, frame in tables.items()
    }
    for name, text in files.items():
        with replacing(out / name) as file:
            file.write(text.encode("utf-8", "replace"))
    return out / "report.html"


def _csv(frame: pd.DataFrame) -> str:
    """What is not known is an empty field; what was not reached is ``inf``."""
    return frame.to_csv(index=False, lineterminator="\n")
