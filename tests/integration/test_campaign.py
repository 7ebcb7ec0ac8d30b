"""Campaigns with real guests: killed and gone on with, interrupted, and what QEMU takes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import fakedirty
import pytest
from fakedirty.campaign.asking import left_out
from fakedirty.campaign.spec import parse
from fakedirty.campaign.treatments import ARMS
from fakedirty.cli.main import main
from fakedirty.lab.qemu import qemu_binary, stock_binary
from small_campaign import SMALL, started, wait_for, written


def test_a_killed_campaign_goes_on_with_the_same_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(tmp_path, ("service_seconds = 0.5", "service_seconds = 2.2"))  # two reports of the guest
    out = tmp_path / "out"
    with started(file, out) as campaign:
        wait_for(out / "runs" / ".0002.partial", campaign)
        campaign.send_signal(signal.SIGKILL)
    first = out / "runs" / "0001" / "run.json"
    before = first.read_bytes()
    assert sorted(path.name for path in (out / "runs").iterdir()) == [".0002.partial", "0001"]
    plan = json.loads((out / "campaign.json").read_text())["runs"]

    assert main(["campaign", "resume", str(out), "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["run"] for row in rows] == ["0002", "0003", "0004"]
    assert sorted(path.name for path in (out / "runs").iterdir()) == ["0001", "0002", "0003", "0004"]
    assert first.read_bytes() == before

    campaign_ = fakedirty.load_campaign(out)
    runs = campaign_.runs
    assert [{name: row[name] for name in plan[0]} for row in runs.to_dict("records")] == plan
    assert list(runs["outcome"]) == ["completed"] * 4
    assert runs["memory_equal"].all()
    measured = ("total_time_ms", "outside_downtime_ms", "link_bytes", "bandwidth_use", "rounds", "visited_pages")
    measured += ("vcpu_cpu_seconds", "host_memory_bytes", "service_before", "service_after", "migration_id")
    for name in measured:
        assert runs[name].notna().all(), name
    assert (runs["link_bytes"] >= runs["transferred_bytes"]).all()
    skipped = runs[runs["treatment"] == "skip-unobserved"]
    assert (skipped["visited_pages"] == skipped["first_pages"] + skipped["changed_pages"] + skipped["fake_pages"]).all()
    assert set(campaign_.rounds["run"]) == set(runs["run"])
    assert set(campaign_.service["side"]) == {"source", "destination"}
    toggled = campaign_.toggles[campaign_.toggles["treatment"] == "vanilla"]
    second = runs[(runs["treatment"] == "vanilla") & (runs["repetition"] == 2)]
    assert list(toggled["run"]) == list(second["run"])
    assert list(toggled["to_mode"]) == ["observe"]

    recorded = fakedirty.load(out).migrations
    assert list(recorded["run_id"]) == [f"small-{run}" for run in runs["run"]]
    assert main(["campaign", "resume", str(out)]) == 0  # there is nothing left to do


def test_an_interrupted_campaign_drops_the_run_in_progress(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with started(written(tmp_path), out) as campaign:
        wait_for(out / "runs" / ".0001.partial", campaign)
        campaign.send_signal(signal.SIGTERM)
        said, _ = campaign.communicate()
    assert campaign.returncode == 130, said
    assert f"'fakedirty campaign resume {out}' goes on" in said
    assert list((out / "runs").iterdir()) == []


def test_what_qemu_refuses_is_left_out_in_its_words() -> None:
    names = ["vanilla", "skip", "skip-crc32", "multifd", "skip+multifd", "hybrid", "skip+hybrid"]
    spec = parse(SMALL.replace('"vanilla", "skip-unobserved"', ", ".join(f'"{name}"' for name in names))).spec
    arms = [ARMS[name] for name in names]
    refused = {each.treatment: each.reason for each in left_out(qemu_binary(), spec, arms)}
    assert set(refused) == {"skip+multifd", "skip+hybrid"}
    assert "'skip' is not compatible with capability 'multifd'" in refused["skip+multifd"]
    untoggled = spec.model_copy(update={"toggles": []})
    refused = {each.treatment: each.reason for each in left_out(stock_binary(), untoggled, arms)}
    assert set(refused) == {name for name in names if name.startswith("skip")}
    assert all("fake-dirty-" in reason for reason in refused.values())


def test_a_campaign_of_which_qemu_takes_nothing_is_not_begun(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(tmp_path, ('"vanilla", "skip-unobserved"', '"skip+multifd"'), ('treatments = ["vanilla"]\n', ""))
    assert main(["campaign", "run", str(file), "--out", str(tmp_path / "out")]) == 1
    assert "skip+multifd: QEMU refused" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_host_without_links_is_told_before_the_start(tmp_path: Path) -> None:
    """No link can be shaped without root."""
    out = tmp_path / "out"
    plain = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--"]
    command = [sys.executable, "-m", "fakedirty.cli.main", "campaign", "run", str(written(tmp_path)), "--out", str(out)]
    done = subprocess.run([*plain, *command], capture_output=True, text=True, check=False)
    assert (done.returncode, out.exists()) == (1, False)
    assert "the laboratory needs root" in done.stderr


def test_a_dry_run_lists_the_runs_in_their_order(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(tmp_path, ('"skip-unobserved"', '"skip", "skip+multifd"'))
    assert main(["campaign", "run", str(file), "--dry-run", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert [run["run"] for run in said["runs"]] == ["0001", "0002", "0003", "0004"]
    assert [each["treatment"] for each in said["left_out"]] == ["skip+multifd"]
    assert main(["campaign", "run", str(file), "--dry-run"]) == 0
    assert "4 runs, about" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["small.toml"]
