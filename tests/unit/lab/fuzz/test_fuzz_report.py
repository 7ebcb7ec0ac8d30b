"""Results of fuzzed migrations: their histories checked, which of them count, and the report on a run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fakedirty.lab.fuzz.checks import check_history
from fakedirty.lab.fuzz.coverage import ENOUGH, AdoptedToggle, Coverage
from fakedirty.lab.fuzz.fuzz_run import FuzzRun
from fakedirty.lab.fuzz.json_report import json_report
from fakedirty.lab.fuzz.plans.draw_plan import draw_plan
from fakedirty.lab.fuzz.plans.faults import KILLED_IN_POSTCOPY
from fakedirty.lab.fuzz.plans.possibilities import Possibilities
from fakedirty.lab.fuzz.report import coverage_lines, failure_lines, summary_lines
from fakedirty.lab.fuzz.result import FuzzResult
from fakedirty.lab.fuzz.switchover_costs import SwitchoverCost
from fakedirty.lab.memory_compare import ComparedBlock, DifferingPage, MemoryReport
from fakedirty.lab.migrate import MigrationResult

POSSIBILITIES = Possibilities(("xxh3-64",))
PAGES = ("forced", "xbzrle", "unchanged", "left", "hinted", "first", "changed", "fake")
EQUAL = MemoryReport((ComparedBlock("pc.ram", 512, "a", "a"),), ())
DIFFERENT = MemoryReport((ComparedBlock("pc.ram", 512, "a", "b"),), (DifferingPage("pc.ram", 7, 9),))


def a_round(**counts: Any) -> dict[str, Any]:
    """Ten pages: seven sent, one as zero, two skipped."""
    of_round = {"round": 2, "kind": "iterative", "mode": "skip", "hash": "xxh3-64", "start": 0, "end": 1}
    rest = {"transferred": 0, "hash-time": 0, "forced-syncs": 0, "saved-bytes": 8208}
    pages = {"dirty": 10, "visited": 10, "changed": 8, "fake": 2, "normal": 7, "zero": 1, "skipped": 2}
    return dict.fromkeys(PAGES, 0) | of_round | rest | pages | counts


def history(*rounds: dict[str, Any], dropped: int = 0) -> dict[str, Any]:
    return {"migration-start": 0, "dropped": dropped, "rounds": list(rounds)}


def outcome(status: str = "completed", normal: int = 14, **totals: int) -> MigrationResult:
    fake_dirty = {"skipped": 4, "saved-bytes": 16416, **totals}
    info = {"status": status, "ram": {"normal": normal, "duplicate": 2}, "fake-dirty": fake_dirty}
    return MigrationResult(status, True, 1.0, info, info)


def result(**fields: Any) -> FuzzResult:
    return FuzzResult(draw_plan(3, 5, POSSIBILITIES), **fields)


def run_of(*results: FuzzResult, complete: int | None = None) -> FuzzRun:
    return FuzzRun(Path("qemu"), 3, POSSIBILITIES, complete, list(results))


def test_rounds_that_add_up() -> None:
    assert check_history(history(a_round(), a_round()), outcome()) == []


def test_rounds_of_an_earlier_series_add_up() -> None:
    earlier = [{("saved" if name == "saved-bytes" else name): value for name, value in a_round().items()}] * 2
    assert check_history(history(*earlier), outcome()) == []


def test_a_round_that_breaks_a_law() -> None:
    [error] = check_history(history(a_round(), a_round(visited=11)), outcome())
    assert error.startswith("round 2: visited = 11 but")


def test_totals_that_are_not_the_sums() -> None:
    assert check_history(history(a_round(), a_round()), outcome(normal=15)) == [
        "the rounds sum up to 14 normal, query-migrate reports 15 normal"
    ]
    assert check_history(history(a_round(), a_round()), outcome(skipped=5)) == [
        "the rounds sum up to 4 skipped, query-migrate reports 5 skipped"
    ]


def test_totals_are_not_compared_with_an_incomplete_history() -> None:
    assert check_history(history(a_round(), dropped=1), outcome()) == []
    assert check_history(history(a_round()), outcome("cancelled")) == []


def test_pages_in_no_round_were_left_to_postcopy() -> None:
    before = history(a_round(), a_round()) | {"postcopy": {"start": 2, "pages": 30, "marked": 0}}
    assert check_history(before, outcome(normal=44)) == []
    assert check_history(before, outcome(normal=45)) == [
        "the rounds sum up to 16 pages, 30 were left to postcopy, query-migrate reports 47 in all"
    ]
    assert check_history(before, outcome(normal=45), mended=True) == [], "what the link lost was sent again"
    assert check_history(before, outcome(normal=43), mended=True) != []


def test_a_false_equal_of_a_hash_is_wrong() -> None:
    assert "1 pages" in check_history(history(a_round(), a_round()), outcome(**{"false-equal": 1}))[0]


def test_which_results_count() -> None:
    assert result(rounds=3, skipped=1000, memory=EQUAL).counted
    assert not result(rounds=2, skipped=1000, memory=EQUAL).counted
    assert not result(rounds=3, skipped=999, memory=EQUAL).counted
    assert not result(rounds=3, skipped=1000).counted, "no memory was compared"


def test_a_destination_killed_in_postcopy_covers_that_fault_alone() -> None:
    toggles = [AdoptedToggle(("off→skip",), ("tcg", KILLED_IN_POSTCOPY)), AdoptedToggle(("off→skip",), ("tcg",))]
    lost = result(rounds=3, skipped=1000, toggles=toggles)
    assert not lost.counted
    assert lost.covered_toggles == [AdoptedToggle(("off→skip",), (KILLED_IN_POSTCOPY,))]
    assert replace(lost, skipped=999).covered_toggles == []
    assert replace(lost, memory=EQUAL).covered_toggles == toggles
    assert result(rounds=3, skipped=1000, toggles=toggles[1:]).covered_toggles == []


def test_a_failure_has_its_reason_its_plan_and_the_command_that_runs_it_again() -> None:
    text = "\n".join(failure_lines(result(memory=DIFFERENT, errors=[str(DIFFERENT)]), " --accel tcg"))
    assert "pc.ram page 7 byte 9" in text
    assert '"seed": 3, "index": 5' in text
    assert '"mode": "skip"' in text
    assert text.endswith("fakedirty fuzz --seed 3 --only 5 --accel tcg")


def test_the_summary_counts_and_the_table_marks_cells_with_too_few() -> None:
    run = run_of()
    toggle = AdoptedToggle(("off→skip",), ("tcg",))
    run.add(result(rounds=3, skipped=1000, memory=EQUAL, toggles=[toggle]))
    run.add(result(memory=DIFFERENT, errors=["x"], toggles=[toggle]))
    text = "\n".join(summary_lines(run))
    assert "2 migrations, 1 counted" in text
    assert "wrong pages: 1; wrong migrations: 1" in text
    [row] = [line for line in coverage_lines(run.coverage) if line.startswith("tcg")]
    assert row.split() == ["tcg", "<", "0", "<", "1", "<", "0", "<", "0", "<", "0", "<", "0"]


def test_a_run_names_what_it_lacks_until_it_is_complete() -> None:
    counted = [result(rounds=3, skipped=1000, memory=EQUAL)] * ENOUGH
    assert run_of(*counted, complete=ENOUGH + 1).missing.startswith(f"{ENOUGH} of {ENOUGH + 1} migrations counted; ")
    assert f"cells are below {ENOUGH}: tcg × off→observe" in run_of(*counted, complete=ENOUGH).missing
    assert run_of(*counted).missing == "", "it need not be complete"
    coverage = Coverage(POSSIBILITIES)
    everything = [AdoptedToggle(coverage.kinds, coverage.features)]
    run = run_of(complete=ENOUGH)
    for each in counted:
        run.add(replace(each, toggles=everything))
    assert run.missing == ""


def test_the_summary_names_late_switchovers_by_the_kind_of_decision() -> None:
    cost = SwitchoverCost(False, 10, 10, 0.1, 0.1, 0.1)
    late = replace(cost, seconds=0.121)
    lines = summary_lines(run_of(*(result(switchover=each) for each in (cost, late, None, replace(late, aware=False)))))
    switchovers = "switchovers with a limit of 100 ms or more, decided by"
    assert f"{switchovers} the patch series: 2; more than 20% above it: 1 (migrations 5)" in lines
    assert f"{switchovers} QEMU's own estimate: 1; more than 20% above it: 1 (migrations 5)" in lines


def test_the_keys_of_the_json_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs read them."""
    monkeypatch.setattr("fakedirty.lab.fuzz.json_report.qemu_facts", lambda qemu: {"binary": str(qemu)})
    cost = SwitchoverCost(False, 10, 10, 0.1, 0.1, 0.1)
    report: dict[str, Any] = json_report(run_of(result(memory=DIFFERENT, switchover=cost, errors=["x"])), ["fakedirty"])
    assert list(report) == ["seed", "manifest", "migrations", "switchovers", "coverage", "below"]
    assert report["manifest"]["command_line"] == ["fakedirty"]
    [migration] = report["migrations"]
    assert list(migration) == [
        *("index", "equal", "counts", "rounds", "skipped", "foreseen", "limited", "breaks", "postcopy", "predicted"),
        *("seconds", "wrong", "differing", "features"),
    ]
    assert list(migration["predicted"]) == [
        *("still", "expected_pages", "pages", "expected_seconds", "seconds", "limit_seconds", "downtime_seconds"),
        "aware",
    ]
    assert (migration["wrong"], migration["differing"]) == (["x"], [{"block": "pc.ram", "page": 7, "offset": 9}])
