"""Runs the benchmark programs that are built with QEMU, which print nanoseconds for each page, by name."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from fakedirty.errors import LabError


def nanoseconds(program_name: str, qemu: Path, line: re.Pattern[str], needed: frozenset[str]) -> dict[str, float]:
    """Run a benchmark program, and read the times that it prints.

    Args:
        program_name: of a file in the directory of `qemu`.
        qemu: the binary that it was built with.
        line: matches a line with a time; its groups are the name and the nanoseconds.
        needed: names that must be among them.

    Returns:
        Nanoseconds by name.

    Raises:
        LabError: there is no such program, it fails, or it does not print a needed name.
    """
    program = qemu.parent / program_name
    if not program.exists():
        raise LabError(f"there is no {program_name} beside {qemu}: build both with `fakedirty qemu build`")
    run = subprocess.run([program, "--tap"], capture_output=True, text=True, check=False)
    times = {name: float(ns) for name, ns in line.findall(run.stdout)}
    if run.returncode != 0 or not needed <= times.keys():
        raise LabError(
            f"{program} failed with exit status {run.returncode}: {run.stderr.strip() or run.stdout.strip()}"
        )
    return times
