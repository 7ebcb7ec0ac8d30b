"""Traces of real migrations, one of each level, replayed: what they came to when they were recorded.

``tests/integration/make_traces.py`` made them, and the files beside them. Those that are called so are of an earlier
series, whose records of rounds have no version, and whose history has another command.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from fakedirty.cli.main import main
from fakedirty.record.load import load

TRACES = Path(__file__).parents[1] / "traces"
NAMES = sorted(path.stem for path in TRACES.glob("*.trace"))


EARLIER = ["patched-earlier", "qmp-patched-earlier"]


def test_every_level_has_a_trace() -> None:
    assert sorted([*EARLIER, "patched", "qmp-patched", "qmp-stock", "stock", "usdt"]) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_trace_comes_to_what_it_came_to(name: str, tmp_path: Path) -> None:
    main(["replay", str(TRACES / f"{name}.trace"), "--out", str(tmp_path), "--json"])
    expected = sorted((TRACES / name).rglob("*.csv"))
    assert len(expected) == 4
    for file in expected:
        assert (tmp_path / file.relative_to(TRACES / name)).read_bytes() == file.read_bytes()


@pytest.mark.parametrize("name", ["patched", "patched-earlier"])
def test_page_records_of_a_trace_are_those_of_its_rounds(name: str, tmp_path: Path) -> None:
    main(["replay", str(TRACES / f"{name}.trace"), "--out", str(tmp_path), "--json"])
    recording = load(tmp_path)
    classified = recording.rounds[recording.rounds["fake_pages"].notna()]
    assert recording.pages["class"].eq("fake").sum() == classified["fake_pages"].sum() > 0
