"""The coverage of a fuzz run: which toggles count in which cell, and which cells have too few."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fakedirty.lab.fuzz.coverage import ENOUGH, HASH_CHANGE, KINDS, SWITCHOVER, AdoptedToggle, Coverage, toggle_kinds
from fakedirty.lab.fuzz.plans.draw_plan import draw_plan
from fakedirty.lab.fuzz.plans.memory_layouts import ARGUMENTS
from fakedirty.lab.fuzz.plans.possibilities import Possibilities
from fakedirty.model.enums import Mode

ONE = Possibilities(("xxh3-64",))
TWO = Possibilities(("xxh3-64", "sha1"), ("tcg", "kvm"), audit=True, memories=tuple(ARGUMENTS))


@pytest.mark.parametrize(
    ("before", "after", "kinds"),
    [
        ((Mode.OFF, "a"), (Mode.SKIP, "a"), ("off→skip",)),
        ((Mode.OFF, "a"), (Mode.SKIP, "b"), ("off→skip",)),  # the hash was not in use
        ((Mode.SKIP, "a"), (Mode.OBSERVE, "b"), ("skip→observe", HASH_CHANGE)),
        ((Mode.SKIP, "a"), (Mode.SKIP, "b"), (HASH_CHANGE,)),
        ((Mode.SKIP, "a"), (Mode.SKIP, "a"), ()),
        ((Mode.OFF, "a"), (Mode.OFF, "b"), ()),
    ],
)
def test_the_kinds_of_a_toggle(before: tuple[Mode, str], after: tuple[Mode, str], kinds: tuple[str, ...]) -> None:
    assert toggle_kinds(before, after) == kinds


def test_every_kind_of_toggle_has_a_column_and_a_change_of_hash_only_where_there_are_two() -> None:
    assert len(KINDS) == 7
    assert HASH_CHANGE in Coverage(TWO).kinds
    assert HASH_CHANGE not in Coverage(ONE).kinds


def test_a_toggle_in_the_switchover_is_no_row_where_qemu_refuses_it() -> None:
    assert SWITCHOVER in Coverage(ONE).features
    assert set(Coverage(ONE).features) - set(Coverage(replace(ONE, refuses_late=True)).features) == {SWITCHOVER}


def test_a_migration_counts_once_for_a_cell_however_often_they_met() -> None:
    coverage = Coverage(ONE)
    toggle = AdoptedToggle(("off→skip",), ("tcg", "1 vcpu"))
    coverage.add([toggle, toggle, AdoptedToggle(("skip→off",), ("tcg",))])
    coverage.add([toggle])
    assert coverage.count("tcg", "off→skip") == 2
    assert coverage.count("tcg", "skip→off") == 1
    assert coverage.count("1 vcpu", "skip→off") == 0
    assert coverage.rows()["1 vcpu"]["off→skip"] == 2


def test_the_cells_below_enough() -> None:
    coverage = Coverage(ONE)
    cells = [(feature, kind) for feature in coverage.features for kind in coverage.kinds]
    assert coverage.cells_below() == cells
    everything = AdoptedToggle(coverage.kinds, coverage.features)
    for _ in range(ENOUGH):
        coverage.add([everything])
    assert coverage.cells_below() == []
    assert coverage.cells_below(ENOUGH + 1) == cells


@pytest.mark.parametrize("possibilities", [ONE, TWO])
def test_every_feature_of_a_plan_has_a_row(possibilities: Possibilities) -> None:
    rows = set(Coverage(possibilities).features)
    for index in range(50):
        plan = draw_plan(1, index, possibilities)
        changes = [change.feature for attempt in plan.attempts for change in attempt.changes if change.feature]
        assert {*plan.features, *changes} <= rows
