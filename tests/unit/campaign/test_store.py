"""The directory of a campaign: runs that are whole or absent, the order after a crash, and a file that was changed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from fakedirty.campaign.columns import RUNS
from fakedirty.campaign.frames import load, long_form
from fakedirty.campaign.plan import PlannedRun, plan
from fakedirty.campaign.run_measurements import RunResult
from fakedirty.campaign.run_row import row_of
from fakedirty.campaign.spec import Spec, parse
from fakedirty.campaign.store import Row, Store, write_row
from fakedirty.campaign.supported import UnsupportedTreatment
from fakedirty.cli.main import main
from fakedirty.errors import RecordError, UsageError

TEXT = """\
name = "kept"
repetitions = 3
[factors]
workload = ["idle"]
memory_mib = [160]
treatment = ["vanilla", "skip"]
"""
SPEC = parse(TEXT).spec
LEFT_OUT = UnsupportedTreatment("multifd+zstd", "QEMU refused it: <no> zstd")


def begun(directory: Path, file: Path) -> Store:
    """A campaign of which nothing has run."""
    file.write_text(TEXT)
    facts: Row = {"name": "kept", "seed": 1, "qemu": {"binary": "/bin/true", "version": "none"}, "patched": True}
    runs = plan(SPEC, ["vanilla", "skip"])
    return Store.create(directory, file, TEXT, runs=runs, left_out=[LEFT_OUT], facts=facts)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return begun(tmp_path / "out", tmp_path / "kept.toml")


def failed(planned: PlannedRun, spec: Spec, why: str) -> Row:
    """The row of a run that did not get anywhere."""
    from datetime import UTC, datetime

    return row_of(planned, spec, RunResult(), started_at=datetime(2026, 1, 1, tzinfo=UTC), wall_seconds=1.5, error=why)


def make(store: Store, planned: PlannedRun) -> None:
    """Put a run in its place."""
    with store.writing(planned.run) as directory:
        write_row(directory, failed(planned, SPEC, "the guest is not there"))
        (directory / "service.csv").write_text(
            "run,side,seconds,operations_per_second,latency_us,latency_p99_us\n"
            f"{planned.run},source,-1.0,50.0,20000.0,\n"
        )


def test_what_was_begun_is_read_back(store: Store) -> None:
    assert store.text == TEXT
    assert store.runs == plan(SPEC, ["vanilla", "skip"])
    assert store.left_out == [LEFT_OUT]
    assert store.rows == []
    assert (store.directory / "campaign.toml").read_text() == TEXT


def test_a_plan_that_is_no_object_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "campaign.json").write_text("[]")
    with pytest.raises(RecordError, match=r"campaign\.json"):
        Store.open(tmp_path)


def test_a_plan_and_a_whole_run_are_read_once(store: Store) -> None:
    make(store, store.runs[0])
    before = store.rows
    (store.directory / "campaign.json").unlink()
    (store.path(store.runs[0].run) / "run.json").unlink()
    assert store.rows == before
    assert len(before) == 1


def test_a_campaign_that_is_begun_is_what_is_read_back(store: Store) -> None:
    again = Store.open(store.directory)
    assert (again.text, again.facts, again.runs, again.left_out) == (
        store.text,
        store.facts,
        store.runs,
        store.left_out,
    )


def test_a_killed_writer_loses_its_run_and_the_rest_goes_on_in_order(store: Store) -> None:
    first, second, *rest = store.runs
    with store.exclusive():
        make(store, first)
    command = [sys.executable, "-c", WRITER, str(store.directory), second.run]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        partial = Path(writer.stdout.readline().strip())
        assert partial.exists()
        assert store.is_running()
        with pytest.raises(UsageError, match="running already"), store.exclusive():
            pass
        assert partial.exists()  # of a campaign that runs nothing is cleared
        writer.kill()
    assert partial.exists()
    assert not store.is_running()
    again = Store.open(store.directory)
    assert [run.run for run in again.runs if not again.is_done(run.run)] == [run.run for run in (second, *rest)]
    with again.exclusive():
        assert not partial.exists()
        for planned in again.runs:
            if not again.is_done(planned.run):
                make(again, planned)
    assert [row["run"] for row in again.rows] == [run.run for run in store.runs]
    assert sorted(path.name for path in (store.directory / "runs").iterdir()) == [run.run for run in store.runs]


WRITER = """
import sys, time
from pathlib import Path
from fakedirty.campaign.store import Store
store = Store.open(Path(sys.argv[1]))
with store.exclusive(), store.writing(sys.argv[2]) as directory:
    (directory / "run.json").write_text("{}")
    print(directory, flush=True)
    time.sleep(60)
"""


def interrupt(store: Store) -> None:
    with store.exclusive(), store.writing("0001") as directory:
        (directory / "run.json").write_text("{}")
        raise KeyboardInterrupt


def test_a_run_that_raises_leaves_nothing(store: Store) -> None:
    with pytest.raises(KeyboardInterrupt):
        interrupt(store)
    assert list((store.directory / "runs").iterdir()) == []
    with pytest.raises(RecordError, match="No space left on device; what was whole is kept"), store.writing("0001"):
        Path("/dev/full").write_text("more")
    assert list((store.directory / "runs").iterdir()) == []


@pytest.mark.parametrize("changed", ["kept.toml", "out/campaign.toml"])
def test_a_file_that_was_changed_is_refused_with_the_difference(
    changed: str, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store.check_unchanged()
    path = tmp_path / changed
    path.write_text(TEXT.replace("repetitions = 3", "repetitions = 30"))
    assert main(["campaign", "resume", str(store.directory)]) == 2
    output = capsys.readouterr().err
    assert f"+++ {path}" in output
    assert "-repetitions = 3\n+repetitions = 30\n" in output


def test_an_original_that_is_gone_has_not_changed(store: Store, tmp_path: Path) -> None:
    (tmp_path / "kept.toml").unlink()
    store.check_unchanged()


def test_a_directory_that_has_a_campaign_takes_no_other(store: Store, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"'fakedirty campaign resume .*' goes on"):
        begun(tmp_path / "out", tmp_path / "kept.toml")
    other = tmp_path / "other.toml"
    other.write_text("name = 'other'\n")
    with pytest.raises(UsageError, match="begin another campaign in another directory\n--- "):
        Store.create(tmp_path / "out", other, other.read_text(), runs=[], left_out=[], facts={})


def test_a_qemu_that_is_another_is_refused(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["campaign", "resume", str(store.directory)]) == 2
    assert "is not the QEMU that the campaign was begun with" in capsys.readouterr().err


def test_a_directory_without_a_campaign_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for action in ("resume", "status", "export"):
        assert main(["campaign", action, str(tmp_path)]) == 2
        assert "is not the directory of a campaign" in capsys.readouterr().err


def test_status_counts_what_is_there(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    make(store, store.runs[0])
    assert main(["campaign", "status", str(store.directory), "--json"]) == 0
    status = json.loads(capsys.readouterr().out)
    assert (status["runs"], status["done"], status["failed"], status["running"]) == (6, 1, 1, False)
    assert status["expected_seconds_left"] > 0
    assert main(["campaign", "status", str(store.directory)]) == 0
    output = capsys.readouterr().out
    assert "kept: 1 of 6 runs are made (0 completed, 0 at the time limit, 1 failed)" in output
    assert "failed, the guest is not there" in output
    assert "left out: multifd+zstd: QEMU refused it: <no> zstd" in output


def test_frames_have_failed_runs_and_what_is_not_known_is_not_zero(store: Store) -> None:
    assert load(store.directory).runs.empty
    for planned in store.runs[:2]:
        make(store, planned)
    campaign = load(store.directory)
    assert list(campaign.runs.columns) == [column.name for column in RUNS]
    assert list(campaign.runs["reason"]) == ["the guest is not there"] * 2
    assert campaign.runs["fake_pages"].isna().all()
    assert campaign.runs["converged"].isna().all()
    assert campaign.runs["total_time_ms"].dtype == "Int64"
    assert campaign.rounds.empty
    assert {"run", "treatment", "fake_pages"} <= set(campaign.rounds.columns)
    assert list(campaign.service["operations_per_second"]) == [50.0, 50.0]
    assert campaign.left_out == [{"treatment": "multifd+zstd", "reason": "QEMU refused it: <no> zstd"}]
    assert (campaign.name, campaign.spec["repetitions"], campaign.facts["seed"]) == ("kept", 3, 1)
    tall = long_form(campaign)
    assert set(tall["metric"]) == {column.name for column in RUNS if column.dtype != "string"} - {
        *("block", "repetition", "memory_mib", "mbit", "vcpus")
    }
    assert set(tall[tall["metric"] == "wall_seconds"]["value"]) == {1.5}


def test_tables_are_exported_twice(store: Store, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    import pandas as pd

    for planned in store.runs:
        make(store, planned)
    assert main(["campaign", "export", str(store.directory), "--to", str(tmp_path / "tables")]) == 0
    assert "6 rows in" in capsys.readouterr().out
    names = sorted(path.name for path in (tmp_path / "tables").iterdir())
    assert names == sorted(f"{name}.{kind}" for name in TABLES for kind in ("csv", "parquet"))
    parquet = pd.read_parquet(tmp_path / "tables" / "runs.parquet")
    assert list(parquet["run"]) == list(pd.read_csv(tmp_path / "tables" / "runs.csv", dtype={"run": str})["run"])


TABLES = ("runs", "long", "rounds", "toggles", "service")
