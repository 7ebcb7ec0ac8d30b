"""Plans that do not fit the file descriptors of this process are refused before they begin."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest
from fakedirty.linux import descriptor_limit
from fakedirty.linux.descriptor_limit import (
    DescriptorLimitError,
    demand_descriptors,
    descriptors_left,
    raise_descriptor_limit,
)


@pytest.mark.parametrize(("left", "fits"), [(58, True), (57, False), (-3, False)])
def test_the_reserve_stays_free(left: int, fits: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(descriptor_limit, "descriptors_left", lambda: left)
    if fits:
        demand_descriptors(10, "attaching")
        return
    why = f"attaching takes 10 file descriptors and 48 are kept free, but {max(left, 0)} are left"
    with pytest.raises(DescriptorLimitError, match=why):
        demand_descriptors(10, "attaching")


def test_those_left_are_the_limit_less_those_that_are_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _kind: (100, 200))
    (tmp_path / "self/fd").mkdir(parents=True)
    for number in range(7):
        (tmp_path / "self/fd" / str(number)).touch()
    assert descriptors_left(tmp_path) == 93
    assert descriptors_left(tmp_path / "none") == 0, "no descriptor to look with"


def test_one_more_file_is_one_descriptor_less() -> None:
    before = descriptors_left()
    with open(os.devnull):
        assert descriptors_left() == before - 1


def test_the_soft_limit_is_raised_to_the_hard_one(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "setrlimit", lambda _kind, limits: made.append(limits))
    monkeypatch.setattr(resource, "getrlimit", lambda _kind: (1024, 524288))
    assert raise_descriptor_limit() == 524288
    assert made == [(524288, 524288)]
    monkeypatch.setattr(resource, "getrlimit", lambda _kind: (4096, 4096))
    assert raise_descriptor_limit() == 4096
    assert len(made) == 1
