"""What must hold after a fuzzed migration, and what is said of one for which it does not."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any

from fakedirty.cli.fuzz import failure, lacking, summary, table
from fakedirty.lab.fuzz.checks import check_history
from fakedirty.lab.fuzz.coverage import ENOUGH, Coverage, Taken
from fakedirty.lab.fuzz.draw import draw
from fakedirty.lab.fuzz.faults import KILLED_IN_POSTCOPY
from fakedirty.lab.fuzz.plan import Possibilities
from fakedirty.lab.fuzz.predictions import Predicted
from fakedirty.lab.fuzz.run import FuzzResult
from fakedirty.lab.memory_compare import ComparedBlock, DifferingPage, MemoryReport
from fakedirty.lab.migrate import Outcome

POSSIBLE = Possibilities(("xxh3-64",))
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


def outcome(status: str = "completed", normal: int = 14, **totals: int) -> Outcome:
    fake_dirty = {"skipped": 4, "saved-bytes": 16416, **totals}
    info = {"status": status, "ram": {"normal": normal, "duplicate": 2}, "fake-dirty": fake_dirty}
    return Outcome(status, True, 1.0, info, info)


def fuzzed(**results: Any) -> FuzzResult:
    return FuzzResult(draw(3, 5, POSSIBLE), **results)


def test_rounds_that_add_up() -> None:
    assert check_history(history(a_round(), a_round()), outcome()) == []


def test_rounds_of_an_earlier_series_add_up() -> None:
    earlier = [{("saved" if name == "saved-bytes" else name): value for name, value in a_round().items()}] * 2
    assert check_history(history(*earlier), outcome()) == []


def test_a_round_that_breaks_a_law() -> None:
    (wrong,) = check_history(history(a_round(), a_round(visited=11)), outcome())
    assert wrong.startswith("round 2: visited = 11 but")


def test_totals_that_are_not_the_sums() -> None:
    assert check_history(history(a_round(), a_round()), outcome(normal=15)) == [
        "the rounds sum up to 14 normal, query-migrate says 15 normal"
    ]
    assert check_history(history(a_round(), a_round()), outcome(skipped=5)) == [
        "the rounds sum up to 4 skipped, query-migrate says 5 skipped"
    ]


def test_sums_are_not_asked_of_a_history_that_is_not_whole() -> None:
    assert check_history(history(a_round(), dropped=1), outcome()) == []
    assert check_history(history(a_round()), outcome("cancelled")) == []


def test_what_is_in_no_round_was_left_to_postcopy() -> None:
    before = history(a_round(), a_round()) | {"postcopy": {"start": 2, "pages": 30, "marked": 0}}
    assert check_history(before, outcome(normal=44)) == []
    assert check_history(before, outcome(normal=45)) == [
        "the rounds sum up to 16 pages, 30 were left to postcopy, query-migrate says 47 in all"
    ]
    assert check_history(before, outcome(normal=45), mended=True) == [], "what the link lost was sent again"
    assert check_history(before, outcome(normal=43), mended=True) != []


def test_a_hash_that_was_mistaken_is_wrong() -> None:
    assert "1 pages" in check_history(history(a_round(), a_round()), outcome(**{"false-equal": 1}))[0]


def test_what_counts() -> None:
    assert fuzzed(rounds=3, skipped=1000, memory=EQUAL).counts
    assert not fuzzed(rounds=2, skipped=1000, memory=EQUAL).counts
    assert not fuzzed(rounds=3, skipped=999, memory=EQUAL).counts
    assert not fuzzed(rounds=3, skipped=1000).counts, "no memory was compared"


def test_of_one_whose_destination_was_killed_in_postcopy_nothing_but_that_is_covered() -> None:
    toggles = [Taken(("off→skip",), ("tcg", KILLED_IN_POSTCOPY)), Taken(("off→skip",), ("tcg",))]
    lost = fuzzed(rounds=3, skipped=1000, taken=toggles)
    assert not lost.counts
    assert lost.covered == [Taken(("off→skip",), (KILLED_IN_POSTCOPY,))]
    assert replace(lost, skipped=999).covered == []
    assert replace(lost, memory=EQUAL).covered == toggles
    assert fuzzed(rounds=3, skipped=1000, taken=toggles[1:]).covered == []


def test_a_failure_says_what_was_wrong_and_how_to_see_it_again() -> None:
    given = argparse.Namespace(accel="tcg", vcpus=1, qemu=None)
    said = "\n".join(failure(fuzzed(memory=DIFFERENT, wrong=[str(DIFFERENT)]), given))
    assert "pc.ram page 7 byte 9" in said
    assert '"seed": 3, "index": 5' in said
    assert '"mode": "skip"' in said
    assert said.endswith("fakedirty fuzz --seed 3 --only 5 --accel tcg --vcpus 1")


def test_the_summary_counts_and_the_table_marks_what_is_missing() -> None:
    coverage = Coverage(POSSIBLE)
    coverage.add([Taken(("off→skip",), ("tcg",))])
    done = [fuzzed(rounds=3, skipped=1000, memory=EQUAL), fuzzed(memory=DIFFERENT, wrong=["x"])]
    assert "2 migrations, 1 counted" in "\n".join(summary(done, coverage))
    assert "wrong pages: 1; wrong migrations: 1" in "\n".join(summary(done, coverage))
    (row,) = [line for line in table(coverage) if line.startswith("tcg")]
    assert row.split() == ["tcg", "<", "0", "<", "1", "<", "0", "<", "0", "<", "0", "<", "0"]


def test_what_is_lacking_is_said_until_nothing_is() -> None:
    coverage = Coverage(POSSIBLE)
    done = [fuzzed(rounds=3, skipped=1000, memory=EQUAL)] * ENOUGH
    assert lacking(done, coverage, ENOUGH + 1).startswith(f"{ENOUGH} of {ENOUGH + 1} migrations counted; ")
    assert f"cells are below {ENOUGH}: tcg × off→observe" in lacking(done, coverage, ENOUGH)
    for _ in done:
        coverage.add([Taken(coverage.kinds, coverage.features)])
    assert lacking(done, coverage, ENOUGH) == ""


def test_the_summary_names_switchovers_that_were_late_by_whose_decision_they_were() -> None:
    predicted = Predicted(False, 10, 10, 0.1, 0.1, 0.1)
    late = replace(predicted, seconds=0.121)
    done = [fuzzed(predicted=each) for each in (predicted, late, None, replace(late, aware=False))]
    lines = summary(done, Coverage(POSSIBLE))
    switchovers = "switchovers with a limit of 100 ms or more, decided by"
    assert f"{switchovers} what is skipped: 2; more than 20% above it: 1 (migrations 5)" in lines
    assert f"{switchovers} QEMU's own estimate: 1; more than 20% above it: 1 (migrations 5)" in lines
