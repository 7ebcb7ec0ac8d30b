"""What a fuzzed migration uses of multifd: drawn apart from all else, and in the table what can be met."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fakedirty.lab.fuzz.coverage import Coverage
from fakedirty.lab.fuzz.draw import draw
from fakedirty.lab.fuzz.multifd import COMPRESSIONS, SECTION, WITHOUT, Multifd
from fakedirty.lab.fuzz.plan import Possibilities

WITH = Possibilities(("xxh3-64",), compressions=COMPRESSIONS)
PLANS = [draw(3, index, WITH) for index in range(200)]


def test_each_way_is_drawn() -> None:
    drawn = [plan.multifd for plan in PLANS if plan.multifd]
    assert 0 < len(drawn) < len(PLANS)
    assert {each.compression for each in drawn} == set(COMPRESSIONS)
    assert {each.channels for each in drawn} == {1, 2, 3, 4}
    assert {each.zero_pages for each in drawn} == {"multifd", "legacy", "none"}
    assert {each.each_section for each in drawn} == {True, False}


@pytest.mark.parametrize("plan", PLANS[:30], ids=lambda plan: str(plan.index))
def test_a_qemu_that_refuses_multifd_gets_the_rest_of_the_plan(plan: object) -> None:
    assert isinstance(plan, type(PLANS[0]))
    without = draw(plan.seed, plan.index, replace(WITH, compressions=()))
    assert without.multifd is None
    assert plan.multifd is None or not plan.capabilities["xbzrle"]
    unbroken = [
        replace(each, cancel=each.broken.moment, broken=None) if each.broken else each for each in plan.attempts
    ]
    assert unbroken == [*without.attempts]
    assert WITHOUT in without.features


def test_every_feature_is_a_row_of_the_table() -> None:
    rows = set(Coverage(WITH).features)
    for plan in PLANS:
        assert set(plan.features) <= rows
    assert SECTION not in Coverage(replace(WITH, compressions=())).features


def test_words_of_qemu() -> None:
    multifd = Multifd(channels=3, compression="zstd", zero_pages="legacy", each_section=True)
    assert multifd.shared == {"multifd-channels": 3, "multifd-compression": "zstd"}
    assert multifd.arguments == ("-global", "migration.multifd-flush-after-each-section=on")
    assert multifd.features == ("multifd zstd", "3 channels", "zero pages by legacy", SECTION)
