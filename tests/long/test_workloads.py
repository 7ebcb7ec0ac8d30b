"""Every program of the guest of services boots, reports, and survives a migration with its memory whole."""

from __future__ import annotations

from pathlib import Path

import fakedirty
import pytest
from fakedirty.campaign.operations import wait_for_operations
from fakedirty.cli.main import main
from fakedirty.errors import LabError
from fakedirty.lab.guest_services import PORT, build_services
from fakedirty.lab.machine import machine
from fakedirty.lab.qemu import qemu_binary

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
WORKLOADS = {
    "quicksort": "kind = 'quicksort'\nsize_mib = 16",
    "sysbench-cpu": "kind = 'sysbench-cpu'",
    "sysbench-memory": "kind = 'sysbench-memory'\nblock_kib = 4096",
    "sysbench-memory-read": "kind = 'sysbench-memory'\noperation = 'read'\naccess = 'rnd'\nblock_kib = 64",
    "memcached": "kind = 'memcached'\nsize_mib = 32",
    **{
        f"ycsb-{letter}-{store}": f"kind = 'ycsb'\nworkload = '{letter}'\nstore = '{store}'\nrecords = 2000"
        for letter, store in zip("ABCDEF", ["memcached", "redis"] * 3, strict=True)
    },
}


@pytest.mark.parametrize("table", WORKLOADS.values(), ids=WORKLOADS)
def test_a_program_reports_and_survives_a_migration(table: str, tmp_path: Path) -> None:
    file, out = tmp_path / "programs.toml", tmp_path / "programs"
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
        assert len(at_work) >= 10, side
        assert (at_work["latency_us"] > 0).all()
        assert (at_work["latency_p99_us"] >= at_work["latency_us"]).all()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["sysbench", "cpu", "--cpu-max-prime=-1"], "sysbench ended with status 1: .*Invalid value of cpu-max-prime"),
        (["memcaslap", "64", "-c", "16", "-w", "5"], "memcaslap ended with status 1: .*window size"),
        (["ycsb", "redis", "64", "G", "100"], r"ycsb STORE A-F RECORDS"),
        (["emacs"], "emacs ended with status 127: .*not found"),
    ],
)
def test_a_program_that_cannot_start_says_so(words: list[str], said: str, tmp_path: Path) -> None:
    arguments = build_services().qemu_arguments(256, words, tmp_path)
    with (
        machine("guest", qemu_binary(), arguments) as vm,
        pytest.raises(LabError, match=f"cannot do what it was told: {said}"),
    ):
        wait_for_operations(tmp_path / PORT, seconds=240, check_alive=vm.check_alive)
