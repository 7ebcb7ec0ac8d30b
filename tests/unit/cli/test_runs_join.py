"""``fakedirty runs join`` on recordings of two hosts: one record of both halves, or the reason why there is none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import fakedirty
import pytest
from fakedirty.cli.main import main
from fakedirty.linux.wall_clock import ClockError
from fakedirty.record.halves.columns import JOINED
from halves import ALONE, SECOND, destination_half, source_half

HOUR = 3_600 * SECOND


def joined(capsys: pytest.CaptureFixture[str], *paths: Path, options: tuple[str, ...] = ()) -> dict[str, Any]:
    assert main(["runs", "join", *map(str, paths), "--json", *options]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def refused(capsys: pytest.CaptureFixture[str], *paths: Path) -> str:
    assert main(["runs", "join", *map(str, paths)]) == 1
    printed = capsys.readouterr()
    assert not printed.out
    return printed.err


def test_two_halves_are_one_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The guest is stopped at 6.8 s and runs at 6.9 s. Errors: 1 ms and 7 s at 500 ppm, 1 ms and 50 ms at 500 ppm."""
    report = {"status": "completed", "ram": {"transferred": 601_000_000}, "postcopy-latency": 380_000}
    source, destination = source_half(tmp_path / "a"), destination_half(tmp_path / "b", report=report)
    out = tmp_path / "joined"
    found = joined(capsys, source, destination, options=("--out", str(out)))
    assert found["unpaired"] == []
    [record] = found["joined"]
    assert {column.name for column in JOINED} == set(record) - {
        *("schema_version", "source_migration", "destination_migration"),
    }
    assert (record["source_vm"], record["source_id"], record["source_host"]) == ("web", "s1", "alpha")
    assert (record["destination_vm"], record["destination_id"], record["destination_host"]) == ("web-in", "d1", "beta")
    assert (record["matched_by"], record["offset_by"], record["remarks"]) == ("UUID, time, bytes", "clocks", "")
    assert record["offset_low_seconds"] == -record["offset_high_seconds"] == -0.005525
    assert (record["downtime_low_ms"], record["downtime_high_ms"]) == (94.475, 105.525)
    assert (record["downtime_ms"], record["sent_bytes"], record["received_bytes"]) == (42, 601_500_000, 601_000_000)
    assert record["postcopy_latency_ns"] == 380_000
    assert record["stopped_at"] == "2023-11-14T22:13:26.800000+00:00"
    assert record["arrived_at"] == "2023-11-14T22:13:26.850000+00:00"
    assert record["resumed_at"] == "2023-11-14T22:13:26.900000+00:00"
    assert record["ended_at"] == "2023-11-14T22:13:27+00:00"
    assert record["source_migration"]["rounds"] == 4
    [directory] = (out / "web").iterdir()
    assert directory.name == "joined-20231114T221320Z-s1-d1"
    assert json.loads((directory / "joined.json").read_text()) == record
    joined(capsys, destination, source, options=("--out", str(out)))
    assert [*(out / "web").iterdir()] == [directory]


def test_a_joined_record_is_no_recording(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It may be written among the recordings."""
    source_half(tmp_path), destination_half(tmp_path)
    for _ in range(2):
        assert len(joined(capsys, tmp_path, options=("--out", str(tmp_path)))["joined"]) == 1
    assert sorted(fakedirty.load(tmp_path).migrations["migration_id"]) == ["d1", "s1"]


def test_a_table_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    source, destination = (
        source_half(tmp_path / "a", vm="[red]web\x1b[2J"),
        destination_half(tmp_path / "b", runs=False),
    )
    assert main(["runs", "join", str(source), str(destination)]) == 0
    heads, row, *notes = capsys.readouterr().out.splitlines()
    assert heads.split()[:3] == ["source", "destination", "started"]
    assert "[red]web\\u001b[2J s1 on alpha" in row
    assert "web-in d1 on beta" in row
    assert " - " in row
    assert "had not run it when its recording ended" in " ".join(notes)
    destination = destination_half(tmp_path / "c")
    assert main(["runs", "join", str(source), str(destination)]) == 0
    assert "94.5 to 105.5 ms" in capsys.readouterr().out


@pytest.mark.parametrize("ahead_ns", [HOUR, -HOUR])
def test_clocks_that_differ_by_an_hour_are_bounded_by_states(
    ahead_ns: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """50 ms from the arrival to the run, and at most the 200 ms from the stop to the end on the source."""
    source = source_half(tmp_path / "a", ALONE)
    [record] = joined(capsys, source, destination_half(tmp_path / "b", ALONE, ahead_ns=ahead_ns))["joined"]
    assert record["offset_by"] == "states"
    assert record["offset_low_seconds"] == pytest.approx(ahead_ns / 1e9 - 0.15)
    assert record["offset_high_seconds"] == pytest.approx(ahead_ns / 1e9 + 0.05)
    assert (record["downtime_low_ms"], record["downtime_high_ms"]) == (50, 250)


def test_clocks_that_differ_by_an_hour_and_that_nothing_bounds_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    destination = destination_half(tmp_path / "b", ALONE, ahead_ns=HOUR)
    why = refused(capsys, source_half(tmp_path / "a", ALONE, return_path=False), destination)
    assert "nothing bounds how far the clocks of the two hosts are apart" in why
    both = source_half(tmp_path / "c"), destination_half(tmp_path / "d", ahead_ns=HOUR)
    assert "the times do not fit" in refused(capsys, *both)


def test_a_daemon_that_estimates_no_error_bounds_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    unestimated = ClockError(True, 500, 0)
    [record] = joined(capsys, source_half(tmp_path / "a"), destination_half(tmp_path / "b", unestimated))["joined"]
    assert record["offset_by"] == "states"


def test_older_recordings_have_no_error_of_their_clocks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    both = source_half(tmp_path / "a", None), destination_half(tmp_path / "b", None)
    for directory in both:
        manifest = json.loads((directory / "manifest.json").read_text())
        del manifest["clock"]["error"], manifest["clock"]["boot_id"], manifest["host"]
        (directory / "manifest.json").write_text(json.dumps(manifest))
    [record] = joined(capsys, *both)["joined"]
    assert (record["offset_by"], record["source_host"]) == ("states", "")
    summary = json.loads((both[0] / "migration.json").read_text())
    del summary["return_path"]
    (both[0] / "migration.json").write_text(json.dumps(summary))
    assert "nothing bounds" in refused(capsys, *both)


def test_what_does_not_belong_together_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, destination = source_half(tmp_path / "a"), destination_half(tmp_path / "b")
    assert "are both recordings of a source" in refused(capsys, source, source_half(tmp_path / "c"))
    assert "are both recordings of a destination" in refused(
        capsys, destination, destination_half(tmp_path / "d", migration_id="d2")
    )
    cut = destination_half(tmp_path / "e", end=False)
    assert "the recording of the destination has no end" in refused(capsys, source, cut)
    assert "more than one candidate" in refused(capsys, tmp_path / "a", tmp_path / "b", tmp_path / "d")
    assert "there is no recording of a destination" in refused(capsys, source)
    assert "no migration was recorded in" in refused(capsys, tmp_path / "none")
    (destination / "manifest.json").write_text("{}")
    assert "is not what fakedirty recorded" in refused(capsys, source, destination)


def test_a_number_that_is_none_is_empty(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, destination = source_half(tmp_path / "a"), destination_half(tmp_path / "b")
    summary = json.loads((source / "migration.json").read_text())
    (source / "migration.json").write_text(json.dumps(summary | {"downtime_ms": "forty"}))
    assert joined(capsys, source, destination)["joined"][0]["downtime_ms"] is None
    assert main(["runs", "join", str(source), str(destination)]) == 0


@pytest.mark.parametrize("seconds", ["Infinity", "1e300", "1e15"])
def test_an_end_that_is_no_date_is_refused(seconds: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, destination = source_half(tmp_path / "a"), destination_half(tmp_path / "b")
    summary = (source / "migration.json").read_text()
    (source / "migration.json").write_text(summary.replace('"duration_seconds": 7.0', f'"duration_seconds": {seconds}'))
    assert f"{source} is not what fakedirty recorded" in refused(capsys, source, destination)


def test_pairs_are_found_below_the_directories_of_two_hosts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source_half(tmp_path / "alpha")
    destination_half(tmp_path / "beta")
    late = destination_half(tmp_path / "beta", migration_id="d2", ahead_ns=HOUR)
    found = joined(capsys, tmp_path / "alpha", tmp_path / "beta", tmp_path / "beta")
    assert [(each["source_id"], each["destination_id"]) for each in found["joined"]] == [("s1", "d1")]
    [alone] = found["unpaired"]
    assert alone["directory"] == str(late)
    assert "the times do not fit" in alone["reason"]
    assert main(["runs", "join", str(tmp_path)]) == 0
    assert f"not joined: {late}" in capsys.readouterr().out.replace("\n", "")


def test_a_migration_of_one_round_is_joined(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, destination = source_half(tmp_path / "a"), destination_half(tmp_path / "b")
    lines = (source / "rounds.csv").read_text().splitlines()[:2]
    (source / "rounds.csv").write_text("\n".join(lines) + "\n")
    assert len(joined(capsys, source, destination)["joined"]) == 1


def test_a_record_that_cannot_be_written_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, destination = source_half(tmp_path / "a"), destination_half(tmp_path / "b")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "web").write_text("a file where the directory of the VM would be")
    arguments = ["runs", "join", str(source), str(destination), "--out", str(tmp_path / "out")]
    assert main(arguments) == 1
    assert "cannot write a joined record" in capsys.readouterr().err
