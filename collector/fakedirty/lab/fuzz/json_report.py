"""The report on a fuzz run for programs, as ``fakedirty fuzz --json`` prints it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from fakedirty.lab.qemu import qemu_facts
from fakedirty.record.manifest import versions

from .fuzz_run import FuzzRun
from .report import switchover_histograms
from .result import FuzzResult


def json_report(run: FuzzRun, command_line: Sequence[str]) -> dict[str, object]:
    """The whole run, ready for JSON."""
    return {
        "seed": run.seed,
        "manifest": {
            "command_line": list(command_line),
            "qemu": qemu_facts(run.qemu),
            "versions": versions(),
        },
        "migrations": [_migration(result) for result in run.results],
        "switchovers": switchover_histograms(run.results).rows(),
        "coverage": run.coverage.rows(),
        "below": run.coverage.cells_below(),
    }


def _migration(result: FuzzResult) -> dict[str, object]:
    return {
        "index": result.plan.index,
        "equal": result.memory is not None and result.memory.equal,
        "counts": result.counted,
        "rounds": result.rounds,
        "skipped": result.skipped,
        "foreseen": result.checked_expectation,
        "limited": result.dirty_limit_held,
        "breaks": result.faults,
        "postcopy": result.postcopy_pages,
        "predicted": asdict(result.switchover) if result.switchover else None,
        "seconds": round(result.seconds, 3),
        "wrong": result.errors,
        "differing": [asdict(page) for page in result.memory.differing] if result.memory else None,
        "features": result.plan.features,
    }
