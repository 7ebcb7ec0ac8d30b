"""The broken variants of the patch series: the place of every edit exists, or the edit fails."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

import pytest
from fakedirty.lab.qemu import releases
from scripts import script

BROKEN = Path(__file__).parents[2] / "broken"
PATCHES = Path(__file__).parents[3] / "qemu-patches"


@pytest.fixture(scope="module")
def variants() -> ModuleType:
    """`tests/broken/variants.py`, which belongs to a script."""
    return script("broken/variants.py")


def test_every_guarded_rule_has_a_variant(variants: ModuleType) -> None:
    assert {variant.rule for variant in variants.VARIANTS} == {1, 3, 4, 5, 6, 9, 10, "of the switchover"}


def test_variants_that_the_fuzz_does_not_come_to_have_a_test(variants: ModuleType) -> None:
    named = [variant.test for variant in variants.VARIANTS if variant.test]
    assert named
    assert [test for test in named if not (BROKEN.parents[1] / test).is_file()] == []


def test_every_kind_of_plans_is_used(variants: ModuleType) -> None:
    plans = script("broken/plans.py").PLANS
    assert {variant.plans for variant in variants.VARIANTS} == set(plans)


@pytest.mark.parametrize("release", releases())
def test_the_place_of_every_edit_is_in_the_patch_series(variants: ModuleType, release: str) -> None:
    added = "\n".join(
        line[1:]
        for patch in sorted((PATCHES / release).rglob("*.patch"))
        for line in patch.read_text().splitlines()
        if line[:1] in " +"
    )
    for variant in variants.of_release(release, PATCHES / release):
        for edit in variant.edits:
            assert edit.own or re.search(edit.pattern, added), f"{variant.name}: {edit.pattern}"


def test_a_place_that_is_gone_or_not_unique_is_an_error() -> None:
    variant = script("broken/variant.py")
    edit = variant.Edit("file.c", r"now\(\);", "later();")
    assert edit.applied("a\nnow();\nb") == "a\nlater();\nb"
    for source in ("a", "now();\nnow();"):
        with pytest.raises(variant.MovedError, match=r"file\.c"):
            edit.applied(source)


def test_a_variant_of_one_release_is_in_no_other(variants: ModuleType) -> None:
    named = {variant.name: variant.release for variant in variants.VARIANTS if variant.release}
    assert set(named.values()) <= set(releases())
    for release in releases():
        there = {variant.name for variant in variants.of_release(release, PATCHES / release)}
        assert {name for name in named if name in there} == {name for name, only in named.items() if only == release}


def test_each_compression_sends_live_pages_in_a_variant_of_its_own(variants: ModuleType) -> None:
    files = {variant.name: {edit.file for edit in variant.edits} for variant in variants.VARIANTS}
    assert not files["zlib-live"] & files["zstd-live"]
    assert files["sent-live"] < files["file-live"], "both edit one line, and keep the other case as it was"
