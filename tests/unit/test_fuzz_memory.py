"""Memory layouts of fuzzed guests, and huge pages that are reserved and given back."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakedirty.lab.fuzz_memory import ARGUMENTS, HUGE_MIB, TWO_BLOCKS, reserved_huge_pages


@pytest.mark.parametrize("mib", [8, 16, 56])
def test_two_blocks_are_all_of_the_memory_and_no_multiples_of_64_pages(mib: int) -> None:
    words = ",".join(ARGUMENTS[TWO_BLOCKS](mib)).split(",")
    sizes = [int(word.removeprefix("size=").removesuffix("K")) for word in words if word.startswith("size=")]
    assert sum(sizes) == mib * 1024
    assert all(size % 4 == 0 and size % 256 for size in sizes)


def pool(directory: Path, pages: int, free: int) -> Path:
    (directory / "nr_hugepages").write_text(f"{pages}\n")
    (directory / "free_hugepages").write_text(f"{free}\n")
    return directory


def test_what_is_missing_is_reserved_and_given_back(tmp_path: Path) -> None:
    number = pool(tmp_path, 10, 4) / "nr_hugepages"
    with reserved_huge_pages(8 * HUGE_MIB, tmp_path) as enough:
        assert not enough, "the kernel gave none"
        assert number.read_text() == "14"
    assert number.read_text() == "10\n"


def test_what_is_free_is_enough(tmp_path: Path) -> None:
    number = pool(tmp_path, 10, 8) / "nr_hugepages"
    with reserved_huge_pages(8 * HUGE_MIB, tmp_path) as enough:
        assert enough
        assert number.read_text() == "10\n"


def test_no_huge_pages_at_all(tmp_path: Path) -> None:
    with reserved_huge_pages(8, tmp_path / "absent") as enough:
        assert not enough
