"""A campaign of one run, whose guest runs a program."""

from __future__ import annotations

from pathlib import Path

import fakedirty
from fakedirty.cli.main import main

CAMPAIGN = """\
name = "programs"
repetitions = 1
time_limit_seconds = 120
service_seconds = 2
[factors]
workload = ["it"]
memory_mib = [256]
treatment = ["skip"]
vcpus = [2]
[workloads.it]
"""


def check_program(table: str, directory: Path) -> None:
    """The workload in `table` boots, reports on both sides, and survives a migration with its memory whole."""
    file, out = directory / "programs.toml", directory / "programs"
    file.write_text(CAMPAIGN + table)
    assert main(["campaign", "run", str(file), "--out", str(out)]) == 0
    campaign = fakedirty.load_campaign(out)
    [run] = campaign.runs.to_dict("records")
    assert (run["outcome"], run["memory_equal"]) == ("completed", True)
    for name in ("service_before", "service_during", "service_after"):
        assert run[name] > 0, name
    service = campaign.service
    for side in ("source", "destination"):
        at_work = service[(service["side"] == side) & (service["operations_per_second"] > 0)]
        assert len(at_work) >= 5, side
        assert (at_work["latency_us"] > 0).all()
        assert (at_work["latency_p99_us"] >= at_work["latency_us"]).all()
