"""What a process with fewer rights may observe: with a few capabilities all, with none QMP, and it says why."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fakedirty.lab.qemu import qemu_binary
from migrating import pair

LOOK = """
import json, sys
from fakedirty.model.enums import Level
from fakedirty.observe import doctor
from fakedirty.observe.live import LiveTrace
from fakedirty.observe.observer import Observer
from fakedirty.observe.host.target import by_pid
target = by_pid(int(sys.argv[1]))
report = doctor.examine([target])
for level in (Level.PATCHED, Level.STOCK) if not report.missing_capabilities else ():
    observer = Observer(LiveTrace(target, level), [])
    observer.attach()
    observer.close()
print(json.dumps(report.as_dict()))
"""


def look(pid: int, capabilities: list[str]) -> dict[str, Any]:
    """The examination by a process that has these capabilities alone: root, whose files the tree may consist of."""
    kept = "".join(f",+{name.removeprefix('CAP_').lower()}" for name in capabilities)
    command = ["setpriv", f"--bounding-set=-all{kept}", "--inh-caps=-all", "--", sys.executable, "-c", LOOK, str(pid)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has capabilities to give up")
def test_few_capabilities_suffice_and_each_is_missed(tmp_path: Path) -> None:
    with pair(qemu_binary(), tmp_path) as vm:
        # whether the kernel asks for CAP_SYS_ADMIN too, doctor finds out
        few = ["CAP_BPF", "CAP_PERFMON", "CAP_SYS_PTRACE"]
        needed = [*few, *look(vm.source.pid, few)["missing_capabilities"]]
        whole = look(vm.source.pid, needed)
        assert whole["missing_capabilities"] == {}
        assert whole["targets"][0]["level"] == "patched"
        for name in few:
            lesser = look(vm.source.pid, [other for other in few if other != name])
            assert name in lesser["missing_capabilities"]
            assert name in lesser["targets"][0]["reasons"]["patched"]
        none = look(vm.source.pid, [])
        assert set(none["missing_capabilities"]) == set(few)
        assert "qmp works without" in none["targets"][0]["reasons"]["stock"]
