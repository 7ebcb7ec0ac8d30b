"""Campaigns with real guests: the quick one as a whole, one that is interrupted, and what QEMU takes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import fakedirty
import pytest
from fakedirty.campaign.spec import parse
from fakedirty.campaign.supported import left_out
from fakedirty.campaign.treatments import ARMS
from fakedirty.cli.main import main
from fakedirty.lab.qemu import qemu_binary, stock_binary
from small_campaign import SMALL, started, wait_for, written

QUICK = Path(__file__).parents[2] / "campaigns" / "quick.toml"


def test_quick_from_start_to_tables(tmp_path: Path) -> None:
    once, out = tmp_path / "once.toml", tmp_path / "quick"
    once.write_text(QUICK.read_text().replace("repetitions = 2", "repetitions = 1"))
    assert main(["campaign", "run", str(once), "--out", str(out)]) == 0
    campaign = fakedirty.load_campaign(out)
    runs = campaign.runs
    assert runs.groupby("treatment").size().to_dict() == {"observe": 1, "vanilla": 1}
    assert runs["memory_equal"].all()
    toggled = campaign.toggles[campaign.toggles["to_mode"] == "skip"]
    assert set(toggled["treatment"]) == {"observe"}
    assert (toggled["round"] >= 3).all()
    assert (runs[runs["treatment"] == "observe"]["skipped_pages"] > 0).all()
    assert (runs[runs["treatment"] == "vanilla"]["skipped_pages"] == 0).all()
    assert runs["service_during"].notna().all()
    assert main(["campaign", "export", str(out)]) == 0
    assert (out / "export" / "long.parquet").exists()


def test_an_interrupted_campaign_drops_the_run_in_progress(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with started(written(tmp_path), out) as campaign:
        wait_for(out / "runs" / ".0001.partial", campaign)
        campaign.send_signal(signal.SIGTERM)
        output, _ = campaign.communicate()
    assert campaign.returncode == 130, output
    assert f"'fakedirty campaign resume {out}' goes on" in output
    assert list((out / "runs").iterdir()) == []


def test_what_qemu_refuses_is_left_out_with_its_reason() -> None:
    names = ["vanilla", "skip", "skip-crc32", "multifd", "skip+multifd", "hybrid", "skip+hybrid"]
    spec = parse(SMALL.replace('"vanilla", "skip-unobserved"', ", ".join(f'"{name}"' for name in names))).spec
    arms = [ARMS[name] for name in names]
    refused = {each.treatment: each.reason for each in left_out(qemu_binary(), spec, arms)}
    assert refused == {}, "the series takes all of them"
    untoggled = spec.model_copy(update={"toggles": []})
    refused = {each.treatment: each.reason for each in left_out(stock_binary(), untoggled, arms)}
    assert set(refused) == {name for name in names if name.startswith("skip")}
    assert all("fake-dirty-" in reason for reason in refused.values())


def test_a_campaign_of_which_qemu_takes_nothing_is_not_begun(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(tmp_path, ('"vanilla", "skip-unobserved"', '"skip+hybrid"'), ('treatments = ["vanilla"]\n', ""))
    stock = str(stock_binary())
    assert main(["campaign", "run", str(file), "--out", str(tmp_path / "out"), "--qemu", stock]) == 1
    assert "skip+hybrid: QEMU refused" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_host_without_links_is_an_error_before_the_start(tmp_path: Path) -> None:
    """No link can be shaped without root."""
    out = tmp_path / "out"
    plain = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--"]
    command = [sys.executable, "-m", "fakedirty.cli.main", "campaign", "run", str(written(tmp_path)), "--out", str(out)]
    done = subprocess.run([*plain, *command], capture_output=True, text=True, check=False)
    assert (done.returncode, out.exists()) == (1, False)
    assert "the laboratory needs root" in done.stderr


def test_a_kernel_that_shapes_no_link_is_an_error_before_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No kernel can be made to lose tbf: a tc of our own prints the error of a kernel that never had it."""
    (tmp_path / "bin").mkdir()
    tc = tmp_path / "bin" / "tc"
    tc.write_text("#!/bin/sh\necho 'Error: Specified qdisc kind is unknown.' >&2\nexit 2\n")
    tc.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tc.parent}:{os.environ['PATH']}")
    assert main(["campaign", "run", str(written(tmp_path)), "--out", str(tmp_path / "out")]) == 1
    assert "this kernel lacks sch_tbf: Error: Specified qdisc kind is unknown." in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_dry_run_lists_the_runs_in_their_order(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(
        tmp_path, ('"vanilla", "skip-unobserved"', '"vanilla", "multifd", "skip"'), ('["vanilla"]', '["skip"]')
    )
    stock = ["--qemu", str(stock_binary())]
    assert main(["campaign", "run", str(file), "--dry-run", "--json", *stock]) == 0
    output = json.loads(capsys.readouterr().out)
    assert [run["run"] for run in output["runs"]] == ["0001", "0002", "0003", "0004"]
    assert [each["treatment"] for each in output["left_out"]] == ["skip"]
    assert main(["campaign", "run", str(file), "--dry-run", *stock]) == 0
    assert "4 runs, about" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["small.toml"]
