"""Campaigns in which something goes wrong, and one of Linux guests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import fakedirty
import pytest
from fakedirty.cli.main import main
from fakedirty.lab.accelerator import kvm_runs
from fakedirty.lab.guests.recipes import build_guest
from fakedirty.lab.qemu import qemu_binary
from small_campaign import SMALL, started, wait_for, written


def test_a_guest_that_never_becomes_ready_is_a_run_that_failed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(tmp_path, ("time_limit_seconds = 20", "ready_limit_seconds = 0.01"))
    assert main(["campaign", "run", str(file), "--out", str(tmp_path / "out")]) == 3
    assert "4 failed" in capsys.readouterr().out
    runs = fakedirty.load_campaign(tmp_path / "out").runs
    assert list(runs["outcome"]) == ["failed"] * 4
    assert runs["reason"].str.startswith("the guest is not ready after 0.01 s").all()


def test_a_qemu_that_dies_is_a_run_that_failed_and_the_next_one_follows(tmp_path: Path) -> None:
    file = written(tmp_path, ("repetitions = 2\ntime", "repetitions = 1\ntime"), ("repetitions = [2]\n", ""))
    out = tmp_path / "out"
    with started(file, out) as campaign:
        wait_for(out / "runs" / ".0001.partial", campaign)
        os.kill(wait_for_source(campaign), signal.SIGKILL)
        output, _ = campaign.communicate()
    assert campaign.returncode == 3, output
    runs = fakedirty.load_campaign(out).runs
    assert list(runs["outcome"]) == ["failed", "completed"]
    assert "ended with status" in runs["reason"][0] or "closed" in runs["reason"][0]


def wait_for_source(campaign: subprocess.Popen[str]) -> int:
    """The process id of the QEMU from which a campaign migrates now: a child that waits for nothing."""
    while campaign.poll() is None:
        for pid in map(int, Path(f"/proc/{campaign.pid}/task/{campaign.pid}/children").read_text().split()):
            try:
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            except OSError:  # it did not live long
                continue
            if Path(words[0].decode()).name.startswith("qemu") and b"-incoming" not in words:
                return pid
        time.sleep(0.02)
    raise AssertionError(campaign.communicate()[0])


def test_a_full_disk_ends_it_and_what_was_whole_is_kept(
    tmp_path: Path, small_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = written(tmp_path), small_disk / "out"
    filler = small_disk / "filler"
    filler.write_bytes(bytes(40 * 1024))  # leaves room for a run or two, and not for four
    assert main(["campaign", "run", str(file), "--out", str(out)]) == 1
    output = capsys.readouterr()
    assert "No space left on device; what was whole is kept. Make room" in output.err
    kept = sorted(path.name for path in (out / "runs").iterdir())
    assert kept in (["0001"], ["0001", "0002"], ["0001", "0002", "0003"]), output
    assert fakedirty.load_campaign(out).runs["memory_equal"].all()
    filler.unlink()
    assert main(["campaign", "resume", str(out), "--json"]) in (0, 1)  # as far as this small disk goes
    assert json.loads(capsys.readouterr().out.splitlines()[0])["run"] == f"{len(kept) + 1:04d}"


def test_idle_and_a_linux_guest_with_two_vcpus(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        ('workload = ["few"]', 'workload = ["few", "idle"]'),
        ("memory_mib = [64]", "memory_mib = [256]\nvcpus = [2]"),
        ('"vanilla", "skip-unobserved"', '"skip"'),
        ('guest = "baremetal"', 'guest = "linux"'),
        ("repetitions = 2\ntime", "repetitions = 1\ntime"),
        (SMALL[SMALL.index("[[toggles]]") :], ""),
        ('level = "qmp"', 'level = "patched"\naudit = true'),
    )
    assert main(["campaign", "run", str(file), "--out", str(tmp_path / "out")]) == 0
    campaign = fakedirty.load_campaign(tmp_path / "out")
    assert set(campaign.runs["workload"]) == {"few", "idle"}
    assert campaign.runs["memory_equal"].all()
    assert list(campaign.runs["false_equal_pages"]) == [0, 0]
    assert (campaign.runs["vcpus"] == 2).all()
    assert set(campaign.rounds["level"]) == {"patched"}
    idle = campaign.runs[campaign.runs["workload"] == "idle"].iloc[0]
    assert idle["changed_pages"] < 100


@pytest.mark.parametrize("guest", ["baremetal", "linux"])
def test_kvm_is_tried_before_the_start(guest: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    file = written(
        tmp_path,
        ('guest = "baremetal"', f'guest = "{guest}"'),
        ("memory_mib = [64]", "memory_mib = [192]"),
        ('level = "qmp"', 'level = "qmp"\naccelerator = "kvm"'),
    )
    runs = kvm_runs(qemu_binary(), build_guest(guest))
    assert main(["campaign", "run", str(file), "--out", str(out)]) == (0 if runs else 2)
    if runs:
        assert fakedirty.load_campaign(out).runs["memory_equal"].all()
    else:
        assert "accelerator: this host does not run the guests by KVM: " in capsys.readouterr().err
        assert not out.exists()


def test_a_killed_campaign_goes_on_with_the_same_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, out = written(tmp_path), tmp_path / "out"
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
