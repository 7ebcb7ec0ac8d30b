"""What is recommended, in migration.json and in what is shown of a recording."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fakedirty.model.events import LimitsRead, RoundEnded, StateChanged
from fakedirty.record.manifest import Clock
from fakedirty.record.recorder import Recorder
from fakedirty.record.restore import restore
from fakedirty.web.ui.documents import details
from made_migrations import SECOND, START, made, tell
from played_guests import Guest, played

CLOCK = Clock(1_700_000_000 * SECOND, START)


def recorded(tmp_path: Path, rounds: int, skip_after: int | None = None) -> Path:
    """The directory of a migration of a played guest, which was cancelled."""
    done, _ = played(Guest(65_000, changed=0.08), rounds, skip_after=skip_after)
    events = [RoundEnded(START + round((each.start_seconds + each.duration_seconds) * SECOND), each) for each in done]
    to = Recorder(tmp_path, "r", clock=lambda: CLOCK)
    end = StateChanged(events[-1].time_ns + SECOND, "cancelled")
    tell(made("web"), [to], [LimitsRead(START, 300), *events, end])
    [directory] = to.directories
    return directory


def verdict(directory: Path) -> dict[str, Any] | None:
    found: dict[str, Any] | None = json.loads((directory / "migration.json").read_text())["verdict"]
    return found


def test_both_plans_with_their_range(tmp_path: Path) -> None:
    directory = recorded(tmp_path, 4)
    found = verdict(directory)
    assert found
    plain, skip = found["recommended"]["as_is"], found["recommended"]["with_skip"]
    names = ["bandwidth_bytes_per_second", "downtime_limit_seconds", "throttle_ratio"]
    assert list(plain) == list(skip) == names
    assert plain["bandwidth_bytes_per_second"]["expected"] == pytest.approx(887e6, rel=0.016)
    assert skip["downtime_limit_seconds"]["expected"] == pytest.approx(0.192, rel=0.016)
    assert list(plain["downtime_limit_seconds"]) == ["low", "expected", "high"]
    assert plain["throttle_ratio"] is None
    assert not [name for name in found["as_is"] if name.startswith("find_")]
    assert "As it is, it needs 900 MB/s" in details(restore(directory))["verdict"]


def test_nothing_is_recommended_where_it_ends_and_there_is_none_after_one_round(tmp_path: Path) -> None:
    found = verdict(recorded(tmp_path / "skip", 5, 2))
    assert found
    assert found["recommended"] is None
    assert verdict(recorded(tmp_path / "one", 1)) is None


def test_the_page_has_the_numbers(tmp_path: Path) -> None:
    numbers = dict(details(restore(recorded(tmp_path, 4)))["verdict_numbers"])
    assert numbers["without skip, converges with a bandwidth from"].startswith("900 MB/s (")
    assert numbers["with skip, converges with a bandwidth from"].startswith("77 MB/s (")
