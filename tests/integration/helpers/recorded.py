"""What Prometheus has, beside what was recorded: every number of a migration, in both."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest
from fakedirty.export.tracked_migration import ROUNDS_SHOWN
from fakedirty.model.round import CLASSES, DISPOSITIONS
from fakedirty.record.load import Recording
from scraping import ask

Labels = dict[str, str]
Number = tuple[str, Labels, float]  # metric, labels, value

SUMS = {
    "visited_pages": "visited_pages_total",
    "hinted_pages": "hinted_pages_total",
    "transferred_bytes": "transferred_bytes_total",
    "saved_bytes": "saved_bytes_total",
    "hash_seconds": "hash_seconds_total",
    "duration_seconds": "round_seconds_total",
    "forced_syncs": "forced_syncs_total",
}
OF_ROUNDS = {
    "dirty_pages": "round_dirty_pages",
    "left_pages": "round_left_pages",
    "transferred_bytes": "round_transferred_bytes",
    "saved_bytes": "round_saved_bytes",
    "duration_seconds": "round_duration_seconds",
}
TIMES = {
    "total_time_ms": "migration_duration_seconds",
    "downtime_ms": "migration_downtime_seconds",
    "outside_downtime_ms": "migration_outside_downtime_seconds",
}


def numbers(recording: Recording, vm: str) -> Iterator[Number]:
    """Those of a VM's one migration; what was not seen is no number."""
    rounds = recording.rounds[recording.rounds["vm"] == vm]
    [migration] = recording.migrations[recording.migrations["vm"] == vm].to_dict("records")
    toggles = recording.toggles[recording.toggles["vm"] == vm]
    for column, metric in SUMS.items():
        yield metric, {}, _sum(rounds[column])
    for columns, metric, label in (
        (CLASSES, "pages_total", "class"),
        (DISPOSITIONS, "page_dispositions_total", "disposition"),
    ):
        for column in columns:
            yield metric, {label: column.removesuffix("_pages")}, _sum(rounds[column])
    for kind, count in rounds["kind"].value_counts().items():
        yield "rounds_total", {"kind": str(kind)}, count
    yield "invalid_rounds_total", {}, (~rounds["valid"]).sum()
    for mode, count in toggles["to_mode"].value_counts().items():
        yield "toggles_total", {"mode": str(mode)}, count
    yield "migrations_total", {"outcome": migration["outcome"]}, 1
    for column, metric in TIMES.items():
        yield metric, {}, float("nan") if pd.isna(migration[column]) else migration[column] / 1e3
    yield "migration_valid", {}, migration["valid"]
    for row in rounds.tail(ROUNDS_SHOWN).to_dict("records"):
        number = {"round": str(row["round"])}
        for column, metric in OF_ROUNDS.items():
            yield metric, number, row[column]
        for column in CLASSES:
            yield "round_pages", number | {"class": column.removesuffix("_pages")}, row[column]
        for column in DISPOSITIONS:
            yield "round_page_dispositions", number | {"disposition": column.removesuffix("_pages")}, row[column]


def check_prometheus_has_it(address: str, recording: Recording, vm: str) -> int:
    """Every number of the recording is there, and equal; how many they are."""
    found: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
    query = f'{{__name__=~"fakedirty_.*", vm="{vm}"}}'
    for series in ask(address, "query", query=query)["result"]:
        labels = {name: value for name, value in series["metric"].items() if name not in ("instance", "job", "vm")}
        name = labels.pop("__name__").removeprefix("fakedirty_")
        found[name, frozenset(labels.items())] = float(series["value"][1])
    count = 0
    for metric, labels, value in numbers(recording, vm):
        there = found.get((metric, frozenset(labels.items())))
        if pd.isna(value):
            assert there is None, (metric, labels, there)
        else:
            # files have times to the nanosecond
            assert there == pytest.approx(float(value), rel=1e-9, abs=1e-7), (metric, labels)
            count += 1
    return count


def _sum(column: pd.Series[Any]) -> float:
    return column.sum(min_count=1)
