"""Traces of real migrations whose destinations ran the guest: the parts of their downtime, replayed.

``tests/integration/make_traces.py`` made them, and the files beside them.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from fakedirty.cli.main import main
from fakedirty.record.load import load

TRACES = Path(__file__).parents[1] / "traces/downtime"


@pytest.mark.parametrize("level", ["patched", "usdt"])
def test_the_parts_are_what_they_were_and_add_up(level: str, tmp_path: Path) -> None:
    main(["replay", str(TRACES / level / "trace"), "--out", str(tmp_path), "--json"])
    (table,) = tmp_path.rglob("downtime.csv")
    assert table.read_bytes() == (TRACES / level / "downtime.csv").read_bytes()
    recording = load(tmp_path)
    parts = recording.downtime
    outside_ms = recording.migrations["outside_downtime_ms"][0]
    assert round(1e6 * outside_ms) == round(1e9 * parts["counted_seconds"].sum())
    assert {"stop", "sync", "ram", "save", "load", "start"} <= set(parts["part"])
    assert (parts["counted_seconds"] <= parts["seconds"]).all()
    assert (parts["counted_seconds"] >= 0).all()
