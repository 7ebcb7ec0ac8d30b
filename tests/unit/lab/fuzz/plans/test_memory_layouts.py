"""Memory layouts of fuzzed guests, and huge pages that are reserved and returned."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakedirty.lab.fuzz.plans.memory_layouts import ARGUMENTS, HUGE_MIB, TWO_BLOCKS, reserved_huge_pages


@pytest.mark.parametrize("mib", [8, 16, 56])
def test_two_blocks_are_all_of_the_memory_and_multiples_of_64_pages(mib: int) -> None:
    words = ",".join(ARGUMENTS[TWO_BLOCKS](mib)).split(",")
    sizes = [int(word.removeprefix("size=").removesuffix("K")) for word in words if word.startswith("size=")]
    assert sum(sizes) == mib * 1024
    assert all(size % 256 == 0 for size in sizes), "as in most guests"


def test_huge_pages_are_reserved_beside_existing_ones_and_returned(tmp_path: Path) -> None:
    number = tmp_path / "nr_hugepages"
    number.write_text("10\n")
    with reserved_huge_pages(8 * HUGE_MIB, tmp_path) as enough:
        assert enough
        assert number.read_text() == "18"
        number.write_text("21")  # another process has reserved three
    assert number.read_text() == "13"


def test_no_huge_pages_at_all(tmp_path: Path) -> None:
    with reserved_huge_pages(8, tmp_path / "absent") as enough:
        assert not enough
