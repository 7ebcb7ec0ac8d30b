"""A campaign as pandas frames. ``docs/data-dictionary.md`` has the columns."""

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

RUN_AND_FACTORS = (RUN, *FACTORS)  # in front of every round and toggle


@dataclass(frozen=True)
class Campaign:
    """All runs that are whole so far. What is not known is <NA>.

    Attributes:
        name: name of the campaign.
        spec: the content of the campaign file.
        facts: what the plan has beside the runs: seed, versions, QEMU.
        planned: how many runs the plan has.
        runs: a row for each run.
        rounds: a row for each round that had ended by the end of its migration or by the time limit. Later rounds
            belong to no treatment: they only let the guest arrive.
        toggles: a row for each change of mode or hash.
        service: a row for each sample of a guest's throughput.
        left_out: the treatments that QEMU refused: `treatment` and `reason` of each.
    """

    name: str
    spec: dict[str, Any]
    facts: dict[str, Any]
    planned: int
    runs: pd.DataFrame
    rounds: pd.DataFrame
    toggles: pd.DataFrame
    service: pd.DataFrame
    left_out: list[dict[str, str]]


def load(directory: str | Path) -> Campaign:
    """Read the campaign in a directory, finished or not.

    Raises:
        UsageError: the directory has no campaign.
        RecordError: one of its files cannot be read.
    """
    store = Store.open(Path(directory))
    rows = store.rows
    runs = _typed(pd.DataFrame(rows, columns=[column.name for column in RUNS]), RUNS)
    recorded = [(row, load_recordings(store.path(str(row["run"])))) for row in rows if row["migration_id"] is not None]
    rounds = [_of_run(row, recording.rounds.head(int(str(row["rounds"])))) for row, recording in recorded]
    toggles = [_of_run(row, recording.toggles) for row, recording in recorded]
    service = [_service(store.path(str(row["run"])) / SERVICE_FILE) for row in rows]
    return Campaign(
        name=str(store.facts["name"]),
        spec=tomllib.loads(store.text),
        facts=store.facts,
        planned=len(store.runs),
        runs=runs,
        rounds=_joined(rounds, (*RUN_AND_FACTORS, *ROUNDS)),
        toggles=_joined(toggles, (*RUN_AND_FACTORS, *TOGGLES)),
        service=_joined(service, SERVICE),
        left_out=[{"treatment": each.treatment, "reason": each.reason} for each in store.left_out],
    )


def long_form(campaign: Campaign) -> pd.DataFrame:
    """The runs in long form.

    Returns:
        A row for each run and metric: the run, its factors and outcome, then `metric`, `unit` and `value`.
    """
    index = [column.name for column in RUNS[: RUNS.index(FACTORS[-1]) + 1]] + ["outcome"]
    metrics = {column.name: column.unit for column in RUNS if column.name not in index and column.dtype != TEXT}
    values = campaign.runs[[*index, *metrics]].astype(dict.fromkeys(metrics, "Float64"))
    melted = values.melt(id_vars=index, value_vars=list(metrics), var_name="metric", value_name="value")
    melted.insert(len(index) + 1, "unit", melted["metric"].map(metrics))
    return melted.sort_values(["run", "metric"], kind="stable", ignore_index=True)


def _of_run(row: dict[str, object], frame: pd.DataFrame) -> pd.DataFrame:
    """`frame` with the run and its factors in front."""
    front = pd.DataFrame(
        {column.name: [row[column.name]] * len(frame) for column in RUN_AND_FACTORS}, index=frame.index
    )
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
