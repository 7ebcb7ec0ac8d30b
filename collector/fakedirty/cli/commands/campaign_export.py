"""The tables of a campaign as CSV and Parquet files."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from fakedirty.campaign.frames import load, long_form
from fakedirty.errors import RecordError
from fakedirty.record.durable import replacing


def export(directory: Path, to: Path) -> dict[Path, int]:
    """Write every table of the campaign in `directory` twice, as CSV and as Parquet.

    Args:
        directory: the campaign.
        to: the directory for the files.

    Returns:
        How many rows each file has.

    Raises:
        RecordError: the files cannot be written, or the campaign cannot be read.
        UsageError: `directory` has no campaign.
    """
    campaign = load(directory)
    tables: dict[str, pd.DataFrame] = {
        "runs": campaign.runs,
        "long": long_form(campaign),
        "rounds": campaign.rounds,
        "toggles": campaign.toggles,
        "service": campaign.service,
    }
    written: dict[Path, int] = {}
    try:
        to.mkdir(parents=True, exist_ok=True)
        for name, frame in tables.items():
            with replacing(to / f"{name}.csv") as file:
                frame.to_csv(file, index=False)
            with replacing(to / f"{name}.parquet") as file:
                frame.to_parquet(file, index=False)
            written |= {to / f"{name}.{kind}": len(frame) for kind in ("csv", "parquet")}
    except OSError as error:
        raise RecordError(f"cannot write to {to}: {error.strerror or error}") from error
    return written
