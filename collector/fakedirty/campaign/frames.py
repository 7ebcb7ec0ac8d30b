"""A campaign read back as pandas frames; ``docs/data-dictionary.md`` has the columns."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from fakedirty.record.columns import ROUNDS, TEXT, TOGGLES, TRUTH, Column
from fakedirty.record.load import load as load_recordings

from .columns import FACTORS, RUN, RUNS, SERVICE
from .store import SERVICE as SERVICE_FILE
from .store import Store

OF_RUNS = (RUN, *FACTORS)  # what every round and toggle has in front


@dataclass(frozen=True)
class Campaign:
    """All runs that are whole so far. What is not known is <NA>.

    `spec` is the campaign file, `facts` what is written down beside the runs (seed, versions, QEMU …), `left_out` the
    treatments that QEMU refused, each with its `reason`. `rounds` are those that had ended by the end or by the time
    limit: what came after that, to let the guest arrive, belongs to no treatment.
    """

    name: str
    spec: dict[str, Any]
    facts: dict[str, Any]
    runs: pd.DataFrame
    rounds: pd.DataFrame
    toggles: pd.DataFrame
    service: pd.DataFrame
    left_out: list[dict[str, str]]


def load(directory: str | Path) -> Campaign:
    """The campaign in a directory, finished or not. UsageError where there is none."""
    store = Store(Path(directory))
    rows = store.rows
    runs = _typed(pd.DataFrame(rows, columns=[column.name for column in RUNS]), RUNS)
    recorded = [(row, load_recordings(store.path(str(row["run"])))) for row in rows if row["migration_id"] is not None]
    rounds = [_of_run(row, recording.rounds.head(int(str(row["rounds"])))) for row, recording in recorded]
    toggles = [_of_run(row, recording.toggles) for row, recording in recorded]
    service = [_service(store.path(str(row["run"])) / SERVICE_FILE) for row in rows]
    return Campaign(
        str(store.facts["name"]),
        tomllib.loads(store.text),
        dict(store.facts),
        runs,
        _joined(rounds, (*OF_RUNS, *ROUNDS)),
        _joined(toggles, (*OF_RUNS, *TOGGLES)),
        _joined(service, SERVICE),
        [{"treatment": each.treatment, "reason": each.reason} for each in store.left_out],
    )


def long_form(campaign: Campaign) -> pd.DataFrame:
    """A row for each run and metric: the run, its factors and outcome, `metric`, `unit` and `value`."""
    index = [column.name for column in RUNS[: RUNS.index(FACTORS[-1]) + 1]] + ["outcome"]
    metrics = {column.name: column.unit for column in RUNS if column.name not in index and column.dtype != TEXT}
    values = campaign.runs[[*index, *metrics]].astype(dict.fromkeys(metrics, "Float64"))
    melted = values.melt(id_vars=index, value_vars=list(metrics), var_name="metric", value_name="value")
    melted.insert(len(index) + 1, "unit", melted["metric"].map(metrics))
    return melted.sort_values(["run", "metric"], kind="stable", ignore_index=True)


def _of_run(row: dict[str, object], frame: pd.DataFrame) -> pd.DataFrame:
    """`frame` behind the run and its factors."""
    front = pd.DataFrame({column.name: [row[column.name]] * len(frame) for column in OF_RUNS}, index=frame.index)
    return pd.concat([front, frame], axis=1)


def _service(file: Path) -> pd.DataFrame:
    return pd.read_csv(file, dtype={"run": "string", "side": "string"})


def _joined(parts: Sequence[pd.DataFrame], columns: Sequence[Column]) -> pd.DataFrame:
    names = [column.name for column in columns]
    filled = [part for part in parts if len(part)]
    return _typed(pd.concat(filled, ignore_index=True) if filled else pd.DataFrame(columns=names), columns)


def _typed(frame: pd.DataFrame, columns: Iterable[Column]) -> pd.DataFrame:
    types = {column.name: column.dtype for column in columns}
    truths = [name for name, dtype in types.items() if dtype == TRUTH]
    return frame.reindex(columns=list(types)).astype(dict.fromkeys(truths, object)).astype(types)
