"""The report on a campaign, written into its directory: HTML, Markdown, and its tables as CSV."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from fakedirty.record.durable import replacing

from .compare import compare
from .content import content
from .html import html
from .inputs import ReportInputs, treatment_order
from .markdown import markdown

REPORT = "report"


def write(campaign: ReportInputs, directory: Path) -> Path:
    """Write ``report/``: ``report.html``, ``report.md``, ``medians.csv``, ``differences.csv``, ``runs.csv``.

    Each file is written whole and replaces the one before.

    Args:
        campaign: the campaign, finished or not.
        directory: the directory that it is kept in.

    Returns:
        The path of ``report.html``.

    Raises:
        OSError: the files cannot be written.
    """
    comparison = compare(campaign.runs, treatment_order(campaign.spec))
    written = content(campaign, comparison)
    files = {
        "report.md": markdown(written),
        "report.html": html(written),
        "medians.csv": _csv(comparison.medians),
        "differences.csv": _csv(comparison.differences),
        "runs.csv": _csv(campaign.runs),
    }
    out = directory / REPORT
    out.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        with replacing(out / name) as file:
            file.write(text.encode("utf-8", "replace"))
    return out / "report.html"


def _csv(frame: pd.DataFrame) -> str:
    """An empty field is not known; ``inf`` was not reached."""
    return frame.to_csv(index=False, lineterminator="\n")
