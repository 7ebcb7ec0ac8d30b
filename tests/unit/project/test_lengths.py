"""The tables of long tests name tests that there are."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

INTEGRATION = Path(__file__).parents[2] / "integration"
TABLES = {
    node.targets[0].id: ast.literal_eval(node.value)  # type: ignore[attr-defined]
    for node in ast.parse((INTEGRATION / "conftest.py").read_text()).body
    if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict)
}


def test_there_are_two() -> None:
    assert set(TABLES) == {"IN_EVERY_TEST", "LONG"}
    assert not set(TABLES["IN_EVERY_TEST"]) & set(TABLES["LONG"])


@pytest.mark.parametrize(
    ("file", "name"), [(file, name) for table in TABLES.values() for file in table for name in sorted(table[file])]
)
def test_each_is_of_a_test(file: str, name: str) -> None:
    assert re.search(rf"^def {re.escape(name.partition('[')[0])}\(", (INTEGRATION / file).read_text(), re.MULTILINE)
