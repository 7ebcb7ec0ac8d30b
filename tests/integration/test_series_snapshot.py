"""A snapshot into a disk is no migration to be skipped in: with the mode on, nothing is hashed or allocated for it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from fakedirty.lab.machine import machine
from fakedirty.lab.qemu import qemu_binary
from fakedirty.model.words import Mode
from fakedirty.qmp.client import Qmp
from fakedirty.qmp.mode import set_mode
from migrating import wait

DISK_BYTES = 64 << 20


def create(qmp: Qmp, path: Path) -> None:
    """A qcow2 image, made by QEMU itself, and open as node `disk`."""
    jobs: list[dict[str, object]] = [
        {"driver": "file", "filename": str(path), "size": 0},
        {"driver": "qcow2", "file": "file", "size": DISK_BYTES},
    ]
    for number, options in enumerate(jobs):
        run(qmp, f"create{number}", "blockdev-create", {"options": options})
        if not number:
            qmp.execute("blockdev-add", {"driver": "file", "filename": str(path), "node-name": "file"})
    qmp.execute("blockdev-add", {"driver": "qcow2", "file": "file", "node-name": "disk"})


def run(qmp: Qmp, job: str, command: str, arguments: Mapping[str, object]) -> None:
    """A job from its start to its end, which is to be a good one."""
    qmp.execute(command, {"job-id": job, **arguments})
    states = {}

    def concluded() -> bool:
        states.update({each["id"]: each for each in qmp.execute("query-jobs")})
        return bool(states[job]["status"] == "concluded")

    wait(concluded)
    assert "error" not in states[job], states[job]["error"]
    qmp.execute("job-dismiss", id=job)


@pytest.mark.parametrize("mode", [Mode.OBSERVE, Mode.SKIP])
def test_a_snapshot_is_taken_and_loaded_with_the_mode_on(mode: Mode, tmp_path: Path) -> None:
    with machine("snapshot", qemu_binary(), ["-m", "16", "-S"]) as vm:
        set_mode(vm.qmp, mode)
        create(vm.qmp, tmp_path / "disk.qcow2")
        snapshot = {"tag": "one", "vmstate": "disk", "devices": ["disk"]}
        run(vm.qmp, "save", "snapshot-save", snapshot)
        assert "fake-dirty" not in vm.qmp.execute("query-migrate")
        assert vm.qmp.execute("query-migration-rounds")["rounds"] == []
        run(vm.qmp, "load", "snapshot-load", snapshot)
        vm.check_alive()
