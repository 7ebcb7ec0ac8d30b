"""Every treatment that QEMU takes, in one campaign."""

from __future__ import annotations

from pathlib import Path

import fakedirty
from fakedirty.campaign.treatments import ARMS
from fakedirty.cli.main import main

ALL = f"""\
name = "all"
repetitions = 1
time_limit_seconds = 30
service_seconds = 0
level = "qmp"
[factors]
workload = ["few"]
memory_mib = [64]
treatment = {[name for name, arm in ARMS.items() if arm.observed]}
[workloads.few]
kind = "workingset"
guest = "baremetal"
size_mib = 8
silent = 0.5
changed = 0.25
zero = 0.25
"""


def test_every_treatment_that_qemu_takes_arrives_whole(tmp_path: Path) -> None:
    file, out = tmp_path / "all.toml", tmp_path / "all"
    file.write_text(ALL)
    assert main(["campaign", "run", str(file), "--out", str(out)]) == 0
    campaign = fakedirty.load_campaign(out)
    left_out = {each["treatment"] for each in campaign.left_out}
    assert left_out == set(), "the series takes all of them"
    assert set(campaign.runs["treatment"]) | left_out == {name for name, arm in ARMS.items() if arm.observed}
    assert campaign.runs["memory_equal"].all()
    skipping = campaign.runs["treatment"].str.startswith("skip")
    assert (campaign.runs[~skipping]["skipped_pages"] == 0).all()
    assert campaign.runs[skipping]["skipped_pages"].notna().all()
