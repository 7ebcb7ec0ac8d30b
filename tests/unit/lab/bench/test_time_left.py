"""The time left that a migration showed, replayed from its rounds, and the tables of its errors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from benchmark_tables import shown
from fakedirty.lab.bench.benchmarks.forecasts import forecast_tables
from fakedirty.lab.bench.benchmarks.time_left import time_left_tables
from fakedirty.lab.bench.forecasts import CheckedForecast, ForecastJob
from fakedirty.lab.bench.time_left import TimeLeft, shown_times, time_left_rows
from fakedirty.model.enums import Level, Mode
from fakedirty.model.events import ModeChanged
from fakedirty.model.migration import Migration
from fakedirty.record.manifest import Clock
from fakedirty.record.recorder import Recorder
from fakedirty.record.restore import restore
from made_migrations import START as RECORDED_START
from made_migrations import made, tell
from played_guests import Guest, played

START = 10**12
AT_HALF = TimeLeft(0.5, "ends", 1.0, 2.0, 4.0, 2.5, 0.5, 5.0)


def migrated(guest: Guest, skip_after: int | None = None) -> tuple[Migration, float]:
    """A migration that is over, and its total time."""
    rounds, total = played(guest, 100, skip_after=skip_after)
    assert total
    migration = Migration("vm", Level.PATCHED, "m1", START, downtime_limit_ms=300, channels=1, compressed=False)
    migration.rounds = rounds
    if skip_after is not None:
        begun = rounds[skip_after].start_seconds
        toggled = ModeChanged(START + round(begun * 1e9), skip_after + 1, Mode.OBSERVE, Mode.SKIP, "xxh3-64")
        migration.toggles.append(toggled)
    return migration, total


def test_it_is_what_was_shown_at_that_moment() -> None:
    """The bulk round takes 4.3 s of 8.0; round 2 ends at 6.0 s, and round 3 at 6.9 s."""
    migration, total = migrated(Guest(60_000, changed=0.9, sweep=3.5))
    assert total == pytest.approx(7.98, abs=0.01)
    quarter, half, late = shown_times(migration, total, (0.25, 0.5, 0.9))
    assert [each.outlook for each in (quarter, half, late)] == ["unknown", "unknown", "ends"]
    assert (quarter.expected, quarter.error, quarter.within) == (None, None, None)
    assert quarter.left == pytest.approx(0.75 * total)
    assert late.left == pytest.approx(0.1 * total)
    assert late.error == pytest.approx(0.0, abs=0.05)
    assert late.ratio == pytest.approx(0.9, abs=0.05)


def test_what_comes_later_is_not_used() -> None:
    """Until skip is switched on there is no end; afterwards there is one."""
    migration, total = migrated(Guest(65_000, changed=0.08), skip_after=4)
    before = (migration.rounds[3].start_seconds + 0.01) / total
    shown_before, shown_after = shown_times(migration, total, (before, 0.99))
    assert (shown_before.outlook, shown_before.expected) == ("no-end", None)
    assert shown_after.outlook == "ends"
    earlier, _ = migrated(Guest(65_000, changed=0.08), skip_after=4)
    earlier.rounds, earlier.toggles = earlier.rounds[:3], []
    assert shown_times(earlier, total, (before,)) == [shown_before]


def test_errors_are_shares_of_the_total_time() -> None:
    assert AT_HALF.error == pytest.approx(-0.1)
    assert AT_HALF.within is True
    assert replace(AT_HALF, high=2.4).within is False
    assert replace(AT_HALF, low=2.6).within is False
    assert replace(AT_HALF, high=None).within is True


def test_a_recording_shows_the_same(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, "run", clock=lambda: Clock(0, RECORDED_START))
    migration = tell(replace(made(), channels=1), [recorder])
    restored = restore(recorder.directories[0])
    rows = time_left_rows(migration, 7.0)
    assert time_left_rows(restored, 7.0) == rows
    assert [row["share"] for row in rows] == [0.25, 0.5, 0.75]
    assert [row["left"] for row in rows] == [5.25, 3.5, 1.75]


def test_the_tables_have_each_migration_and_the_errors() -> None:
    none = TimeLeft(0.25, "unknown", None, None, None, 3.75, None, 5.0)
    late = TimeLeft(0.75, "ends", 1.0, 1.5, None, 1.25, 0.7, 5.0)
    other = replace(AT_HALF, expected=3.0, high=3.1)
    tables = shown(time_left_tables([("one", [none, AT_HALF, late]), ("two", [none, other, late])]))
    text = [" ".join(line.replace("│", " ").split()) for line in tables]
    assert "one unknown / 3.75 2.00 (1.00 to 4.00) / 2.50 1.50 (1.00 to ?) / 1.25" in text
    assert "25% 2 0 - - - -" in text
    assert "50% 2 2 10.0% -10.0% +10.0% 2 of 2" in text
    assert "75% 2 2 5.0% +5.0% +5.0% 2 of 2" in text
    assert list(time_left_tables([])) == []


def test_the_benchmark_of_forecasts_shows_them() -> None:
    migration, total = migrated(Guest(60_000, changed=0.9, sweep=3.5))
    run = CheckedForecast(
        ForecastJob(1, "60k/5k", 400, "as-is"),
        judged=True,
        predicted=True,
        certain=True,
        total_low=8.0,
        total_expected=8.0,
        total_high=8.0,
        downtime_expected=0.3,
        converged=True,
        total_seconds=total,
        downtime_seconds=0.3,
        memory_equal=True,
        times_left=time_left_rows(migration, total),
    )
    text = "\n".join(shown(forecast_tables([run, replace(run, times_left=(), converged=False)])))
    assert "60k/5k at 400 Mbit/s, as-is" in text
    assert "error of the time left, as a share of the total time" in text
    assert "error of the time left" not in "\n".join(shown(forecast_tables([replace(run, times_left=())])))
