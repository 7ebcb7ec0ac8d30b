"""downtime.csv: written with the others, read back as a frame, and restored as the blackout that it was."""

from __future__ import annotations

from pathlib import Path

import fakedirty
import pandas as pd
import pytest
from fakedirty.model.events import Event, GuestArrived
from fakedirty.model.migration import Migration
from fakedirty.record.columns import DOWNTIME
from fakedirty.record.recorder import Recorder
from fakedirty.record.restore import restore
from made_migrations import EVENTS, made, tell
from made_switchover import COUNTED, DESTINATION, END, SOURCE

WHOLE = (*SOURCE, *DESTINATION, *END)
NO_DESTINATION = (*SOURCE, *END)
NEVER_RAN = (*SOURCE, *(each for each in DESTINATION if not isinstance(each, GuestArrived)), *END)


def recorded(out: Path, events: tuple[Event, ...]) -> tuple[Migration, Path]:
    to = Recorder(out, "run-1")
    migration = tell(made(), [to], events)
    return migration, to.directories[0]


def test_a_row_for_each_part(tmp_path: Path) -> None:
    recorded(tmp_path, WHOLE)
    frame = fakedirty.load(tmp_path).downtime
    assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == {c.name: c.dtype for c in DOWNTIME}
    sums = frame.groupby("part")["counted_seconds"].sum()
    assert {part: ms for part, seconds in sums.items() if (ms := round(1e3 * seconds, 6))} == COUNTED
    assert round(frame["counted_seconds"].sum(), 9) == 0.07
    receive = frame[frame["part"] == "receive"].iloc[0]
    assert (receive["side"], receive["start_seconds"], receive["seconds"]) == ("destination", 0.005, 0.041)
    assert receive["device"] is pd.NA
    assert list(frame[frame["part"] == "wire"]["side"]) == [pd.NA]


def test_the_rest_has_a_row_and_all_rows_add_up(tmp_path: Path) -> None:
    migration, _ = recorded(tmp_path, NEVER_RAN)
    frame = fakedirty.load(tmp_path).downtime
    assert migration.blackout is not None
    assert frame["part"].iloc[-1] == "unexplained"
    assert round(frame["counted_seconds"].sum() * 1e9) == migration.blackout.duration_ns


@pytest.mark.parametrize("events", [WHOLE, NO_DESTINATION, NEVER_RAN], ids=["whole", "no destination", "never ran"])
def test_it_is_restored_as_it_was(tmp_path: Path, events: tuple[Event, ...]) -> None:
    migration, directory = recorded(tmp_path, events)
    assert migration.blackout is not None
    assert restore(directory).blackout == migration.blackout


def test_lengths_alone_are_restored_too(tmp_path: Path) -> None:
    to = Recorder(tmp_path, "run-1")
    arrived = Migration("vm", made().level, "m1", made().start_ns, incoming=True)
    tell(arrived, [to], (*DESTINATION, END[-1]))
    found = restore(to.directories[0]).blackout
    assert found == arrived.blackout
    assert found is not None
    assert found.duration_ns is None


def test_without_parts_the_file_has_no_rows(tmp_path: Path) -> None:
    _, directory = recorded(tmp_path, EVENTS)
    assert (directory / "downtime.csv").read_text() == ",".join(column.name for column in DOWNTIME) + "\n"
    assert restore(directory).blackout is None


def test_a_recording_from_before_has_none(tmp_path: Path) -> None:
    _, directory = recorded(tmp_path, WHOLE)
    (directory / "downtime.csv").unlink()
    assert fakedirty.load(tmp_path).downtime.empty
    assert restore(directory).blackout is None
