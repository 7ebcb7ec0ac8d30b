"""A campaign of four short runs, and the command that runs it."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

SMALL = """\
name = "small"
seed = 5
repetitions = 2
time_limit_seconds = 20
service_seconds = 0.5
level = "qmp"

[factors]
workload = ["few"]
memory_mib = [64]
treatment = ["vanilla", "skip-unobserved"]
mbit = [100]

[workloads.few]
kind = "workingset"
guest = "baremetal"
size_mib = 2
silent = 0.5
changed = 0.5

[[toggles]]
at = "round 1"
mode = "observe"
treatments = ["vanilla"]
repetitions = [2]
"""
WAIT_SECONDS = 120


def written(tmp_path: Path, *changes: tuple[str, str]) -> Path:
    """The campaign's file, with something else in it."""
    text = SMALL
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    file = tmp_path / "small.toml"
    file.write_text(text)
    return file


def started(file: Path, out: Path) -> subprocess.Popen[str]:
    """``fakedirty campaign run``, in a process of its own."""
    command = [sys.executable, "-m", "fakedirty.cli.main", "campaign", "run", str(file), "--out", str(out)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def wait_for(path: Path, campaign: subprocess.Popen[str]) -> None:
    """Until it is there, as long as the campaign runs."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not path.exists():
        assert campaign.poll() is None, campaign.communicate()[0]
        assert time.monotonic() < deadline, f"{path} is not there"
        time.sleep(0.02)
