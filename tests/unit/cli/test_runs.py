"""``fakedirty runs`` on recordings that traces of real migrations are replayed to."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pandas as pd
import pytest
from fakedirty.cli.main import main
from fakedirty.record.load import load
from fakedirty.record.restore import restore
from fakedirty.show.table import LiveTable
from rich.console import Console

TRACES = Path(__file__).parents[1] / "traces"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two migrations of one VM, the first cancelled."""
    out = tmp_path_factory.mktemp("runs")
    main(["replay", str(TRACES / "patched.trace"), "--out", str(out), "--json"])
    return out


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["runs", *arguments]) == 0
    return capsys.readouterr().out


def test_every_migration_is_listed_the_latest_last(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = json.loads(printed(capsys, "list", str(recorded), "--json"))
    assert [row["outcome"] for row in rows] == ["cancelled", "completed"]
    assert [row["started_at"] for row in rows] == sorted(row["started_at"] for row in rows)
    rounds = load(recorded).rounds
    for row in rows:
        assert row["fake_pages"] == rounds[rounds["migration_id"] == row["migration_id"]]["fake_pages"].sum()
    table = printed(capsys, "list", str(recorded), "--vm", "source")
    assert all(row["migration_id"] in table for row in rows)


@pytest.mark.parametrize("name", ["patched", "patched-earlier", "stock", "usdt", "qmp-patched", "qmp-stock"])
def test_what_is_shown_is_what_was_shown(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["replay", str(TRACES / f"{name}.trace"), "--out", str(tmp_path)])
    before = capsys.readouterr().out
    shown = "".join(printed(capsys, "show", str(directory)) for directory in load(tmp_path).directories)
    assert shown == before


def test_json_lines_come_again(recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["replay", str(TRACES / "patched.trace"), "--out", str(tmp_path), "--json"])
    before = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    again = [
        json.loads(line)
        for directory in load(tmp_path).directories
        for line in printed(capsys, "show", str(directory), "--json").splitlines()
    ]
    assert again == before


def test_a_migration_is_found_by_its_id(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = load(recorded).migrations["migration_id"]
    assert first in printed(capsys, "show", first[:5], "--in", str(recorded))
    table = printed(capsys, "compare", first, second, "--in", str(recorded))
    assert "cancelled" in table
    assert "completed" in table
    compared = json.loads(printed(capsys, "compare", first, second, "--in", str(recorded), "--json"))
    assert [row["migration_id"] for row in compared] == [first, second]


@pytest.mark.parametrize("table", ["rounds", "migrations", "toggles", "pages"])
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_table_is_exported_whole(recorded: Path, tmp_path: Path, table: str, suffix: str) -> None:
    file = tmp_path / f"all{suffix}"
    assert main(["runs", "export", str(recorded), str(file), "--table", table]) == 0
    expected = getattr(load(recorded), table)
    read = pd.read_csv(file) if suffix == ".csv" else pd.read_parquet(file)
    assert len(read) == len(expected) > 0
    assert list(read.columns) == list(expected.columns)
    if suffix == ".parquet":
        pd.testing.assert_frame_equal(read, expected, check_dtype=True)


def test_csv_goes_to_standard_output(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, "export", str(recorded), "-")
    assert len(pd.read_csv(io.StringIO(text))) == len(load(recorded).rounds)


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["show", "nothing"], 2, "--in DIR"),
        (["show", "zzz", "--in", "{}"], 2, "no migrations in"),
        (["show", "", "--in", "{}"], 2, "2 migrations in"),
        (["list", "{}", "--vm", "nobody"], 1, "there are source"),
        (["list", "{}/source/none"], 1, "not a directory"),
        (["export", "{}", "rounds.xlsx"], 2, ".csv or .parquet"),
        (["export", "{}", "{}/no/rounds.csv"], 2, "cannot write"),
    ],
)
def test_what_is_not_there_is_said(
    recorded: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], status: int, words: str
) -> None:
    assert main(["runs", *(argument.format(recorded) for argument in arguments)]) == status
    assert words in capsys.readouterr().err


def test_what_a_crash_cut_off_is_shown_as_unfinished(recorded: Path, tmp_path: Path) -> None:
    directory = tmp_path / "vm" / "cut.partial"
    directory.mkdir(parents=True)
    for name in ("manifest.json", "rounds.csv", "toggles.csv"):
        (directory / name).write_bytes((load(recorded).directories[1] / name).read_bytes())
    screen = Console(file=io.StringIO(), width=120)
    migration = restore(directory, [LiveTable(screen)])
    assert not migration.ended
    assert len(migration.rounds) == len(restore(load(recorded).directories[1]).rounds)
    assert "not observed to its end" in screen.file.getvalue()


def test_a_file_that_is_not_ours_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "manifest.json").write_text('{"vm": "web", "level": "stock", "migration_id": "1"}')
    assert main(["runs", "show", str(tmp_path)]) == 1
    assert "is not what fakedirty recorded" in capsys.readouterr().err
