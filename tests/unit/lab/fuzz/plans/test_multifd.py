"""Settings of multifd: drawn from a generator of their own, with a row of the coverage for each."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fakedirty.lab.fuzz.coverage import Coverage
from fakedirty.lab.fuzz.plans.draw_plan import draw_plan
from fakedirty.lab.fuzz.plans.multifd import COMPRESSIONS, SECTION, WITHOUT, Multifd
from fakedirty.lab.fuzz.plans.plan import Plan
from fakedirty.lab.fuzz.plans.possibilities import Possibilities

WITH = Possibilities(("xxh3-64",), compressions=COMPRESSIONS)
PLANS = [draw_plan(3, index, WITH) for index in range(200)]


def test_every_setting_is_drawn() -> None:
    drawn = [plan.multifd for plan in PLANS if plan.multifd]
    assert 0 < len(drawn) < len(PLANS)
    assert {each.compression for each in drawn} == set(COMPRESSIONS)
    assert {each.channels for each in drawn} == {1, 2, 3, 4}
    assert {each.zero_pages for each in drawn} == {"multifd", "legacy", "none"}
    assert {each.each_section for each in drawn} == {True, False}


@pytest.mark.parametrize("plan", PLANS[:30], ids=lambda plan: str(plan.index))
def test_a_qemu_that_refuses_multifd_gets_the_same_plan_without_it(plan: Plan) -> None:
    without = draw_plan(plan.seed, plan.index, replace(WITH, compressions=()))
    assert without.multifd is None
    assert plan.multifd is None or not plan.capabilities["xbzrle"]
    faultless = [replace(each, cancel=each.fault.moment, fault=None) if each.fault else each for each in plan.attempts]
    assert faultless == [*without.attempts]
    assert WITHOUT in without.features


def test_every_feature_is_a_row_of_the_table() -> None:
    rows = set(Coverage(WITH).features)
    for plan in PLANS:
        assert set(plan.features) <= rows
    assert SECTION not in Coverage(replace(WITH, compressions=())).features


def test_the_settings_in_the_words_of_qemu() -> None:
    multifd = Multifd(channels=3, compression="zstd", zero_pages="legacy", each_section=True)
    assert multifd.shared == {"multifd-channels": 3, "multifd-compression": "zstd"}
    assert multifd.arguments == ("-global", "migration.multifd-flush-after-each-section=on")
    assert multifd.features == ("multifd zstd", "3 channels", "zero pages by legacy", SECTION)
