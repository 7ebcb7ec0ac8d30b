"""The conclusions of the demo: memory that differs, a skip that does not converge, invalid rounds."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from fakedirty.cli.demo_report import DemoRun, convergence, failure, status, summary
from fakedirty.lab.experiment import Result
from fakedirty.lab.guests.serial_report import GuestReport
from fakedirty.lab.memory_compare import ComparedBlock, DifferingPage, MemoryReport
from fakedirty.lab.migrate import MigrationResult
from fakedirty.lab.treatments import SKIP, VANILLA
from fakedirty.lab.truth import ClassScore, SetScore
from fakedirty.model.enums import Kind, Level, Mode
from fakedirty.model.migration import Migration
from fakedirty.model.round import Round

ENDED = {"status": "completed", "total-time": 3000, "downtime": 40, "ram": {"transferred": 300}}
AT_LIMIT = {"status": "active", "total-time": 2000, "ram": {"transferred": 200}}
EQUAL = MemoryReport((ComparedBlock("pc.ram", 512, "a", "a"),), ())
DIFFERENT = MemoryReport((ComparedBlock("pc.ram", 512, "a", "b"),), (DifferingPage("pc.ram", 7, 9),))
RIGHT = ClassScore({"fake": SetScore(10, 0, 0, np.array([], dtype=np.int64))})
WRONG = ClassScore({"fake": SetScore(10, 0, 0, np.array([3], dtype=np.int64))})


def a_round(number: int, reason: str = "") -> Round:
    return Round(number, Kind.ITERATIVE, Mode.SKIP, "xxh3-64", 0.0, 1.0, saved_bytes=5, invalid_reason=reason)


def a_run(treatment: object = SKIP, *, converged: bool = True) -> DemoRun:
    """A run in which all is well; three rounds, two of them within the time limit."""
    migration = Migration("vm", Level.PATCHED, "id", 0, state="completed", report=ENDED)
    migration.rounds = [a_round(number) for number in (1, 2, 3)]
    outcome = MigrationResult("completed", converged, 2.0, ENDED if converged else AT_LIMIT, ENDED)
    result = Result(outcome, migration, 3 if converged else 2, 350, EQUAL, GuestReport())
    return DemoRun(treatment, result, Path("directory"), RIGHT, exact=True)  # type: ignore[arg-type]


def test_all_is_well() -> None:
    runs = [a_run(VANILLA, converged=False), a_run(SKIP)]
    assert failure(runs) == ""
    assert status(runs) == 0


def test_figures_of_a_run_that_does_not_converge_are_those_at_the_limit() -> None:
    figures = summary(a_run(VANILLA, converged=False))
    assert (figures["rounds"], figures["total_time_ms"], figures["transferred_bytes"]) == (2, 2000, 200)
    assert figures["downtime_ms"] is None
    assert "did NOT converge within 2 s" in convergence(a_run(VANILLA, converged=False))


@pytest.mark.parametrize(
    ("result", "message"),
    [({"memory": DIFFERENT}, "MEMORY DIFFERS: 1 of 512 pages"), ({"memory": None}, "NO MEMORY TO COMPARE")],
)
def test_memory_that_is_not_equal_fails(result: dict[str, object], message: str) -> None:
    run = a_run()
    broken = dataclasses.replace(run, result=dataclasses.replace(run.result, **result))
    assert message in failure([broken])


def test_skip_that_does_not_converge_fails() -> None:
    assert "did NOT converge" in failure([a_run(SKIP, converged=False)])


def test_misclassified_pages_fail() -> None:
    assert "misclassified" in failure([dataclasses.replace(a_run(), truth=WRONG)])


def test_an_invalid_round_is_in_the_exit_status() -> None:
    run = a_run()
    run.result.migration.rounds[1] = a_round(2, "2 events lost")
    assert failure([run]) == ""
    assert status([run]) == 3


def test_a_comparison_of_nothing_is_not_equal() -> None:
    assert not MemoryReport((), ()).equal
