"""The benchmarks that are built with QEMU and stand beside it: programs that print nanoseconds a page, by name."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from fakedirty.errors import LabError


def nanoseconds(program_name: str, qemu: Path, line: re.Pattern[str], needed: frozenset[str]) -> dict[str, float]:
    """Run the program beside `qemu`, and read its lines: a name and a time each.

    LabError if there is no such program, if it fails, or if a name that is `needed` is not among them.
    """
    program = qemu.parent / program_name
    if not program.exists():
        raise LabError(f"there is no {program_name} beside {qemu}: build both with `fakedirty qemu build`")
    run = subprocess.run([program, "--tap"], capture_output=True, text=True, check=False)
    told = {name: float(ns) for name, ns in line.findall(run.stdout)}
    if run.returncode != 0 or not needed <= told.keys():
        raise LabError(
            f"{program} failed with exit status {run.returncode}: {run.stderr.strip() or run.stdout.strip()}"
        )
    return told
