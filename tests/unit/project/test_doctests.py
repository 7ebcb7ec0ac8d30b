"""The examples in docstrings run, and their results are right."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import fakedirty
import pytest

ROOT = Path(fakedirty.__file__).parent
MODULES = sorted(
    ".".join(("fakedirty", *path.relative_to(ROOT).with_suffix("").parts))
    for path in ROOT.rglob("*.py")
    if ">>> " in path.read_text(encoding="utf-8")
)


def test_there_are_examples() -> None:
    assert "fakedirty.model.round" in MODULES


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 0
    assert result.failed == 0
