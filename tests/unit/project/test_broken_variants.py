"""The changes that break the series: each is found where it belongs, or fails loudly."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest
from fakedirty.lab.qemu import releases
from scripts import script

BROKEN = Path(__file__).parents[2] / "broken"
PATCHES = Path(__file__).parents[3] / "qemu-patches"


@pytest.fixture(scope="module")
def variants() -> ModuleType:
    """`tests/broken/variants.py`, which is a script's."""
    return script("broken/variants.py")


def test_every_rule_that_must_be_guarded_has_a_variant(variants: ModuleType) -> None:
    assert {variant.rule for variant in variants.VARIANTS} == {1, 3, 4, 5, 6, 9, 10, "of the switchover"}


def test_what_the_fuzz_does_not_come_to_is_found_by_a_test(variants: ModuleType) -> None:
    named = [variant.test for variant in variants.VARIANTS if variant.test]
    assert named
    assert [test for test in named if not (BROKEN.parents[1] / test).is_file()] == []


def test_plans_that_come_to_a_variant_are_those_that_there_are(variants: ModuleType) -> None:
    plans = script("broken/plans.py").PLANS
    assert {variant.plans for variant in variants.VARIANTS} == set(plans)


@pytest.mark.parametrize("release", releases())
def test_what_is_changed_is_in_the_series(variants: ModuleType, release: str) -> None:
    added = "\n".join(
        line[1:]
        for patch in sorted((PATCHES / release).rglob("*.patch"))
        for line in patch.read_text().splitlines()
        if line[:1] in " +"
    )
    for variant in variants.of_release(release, PATCHES / release):
        for edit in variant.edits:
            assert edit.own or variants.re.search(edit.pattern, added), f"{variant.name}: {edit.pattern}"


def test_a_place_that_is_gone_or_not_the_only_one_is_an_error(variants: ModuleType) -> None:
    edit = variants.Edit("file.c", r"now\(\);", "later();")
    assert edit.applied("a\nnow();\nb") == "a\nlater();\nb"
    for source in ("a", "now();\nnow();"):
        with pytest.raises(variants.MovedError, match=r"file\.c"):
            edit.applied(source)


def test_a_variant_of_one_release_is_of_no_other(variants: ModuleType) -> None:
    named = {variant.name: variant.release for variant in variants.VARIANTS if variant.release}
    assert set(named.values()) <= set(releases())
    for release in releases():
        there = {variant.name for variant in variants.of_release(release, PATCHES / release)}
        assert {name for name in named if name in there} == {name for name, only in named.items() if only == release}


def test_live_pages_are_sent_by_one_way_at_a_time(variants: ModuleType) -> None:
    """Each of these variants is to be caught by itself."""
    files = {variant.name: {edit.file for edit in variant.edits} for variant in variants.VARIANTS}
    assert not files["zlib-live"] & files["zstd-live"]
    assert files["sent-live"] < files["file-live"], "one line, which both send by: the other way is as it was"
