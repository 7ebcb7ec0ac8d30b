"""Every workload but the bare-metal ones boots, reports, and survives a migration with its memory whole."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakedirty.campaign.workloads.operations import wait_for_operations
from fakedirty.errors import LabError
from fakedirty.lab.guests.services import PORT, build_services
from fakedirty.lab.machine import machine
from fakedirty.lab.qemu import qemu_binary
from programs import check_program

WORKLOADS = {
    "workingset": "kind = 'workingset'\nsize_mib = 32\nsilent = 0.6\nchanged = 0.3\nzero = 0.1",
    "idle": "kind = 'idle'",
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
def test_it_reports_and_survives_a_migration(table: str, tmp_path: Path) -> None:
    check_program(table, tmp_path)


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
        pytest.raises(LabError, match=f"reports an error: {said}"),
    ):
        wait_for_operations(tmp_path / PORT, seconds=240, check_alive=vm.check_alive)
