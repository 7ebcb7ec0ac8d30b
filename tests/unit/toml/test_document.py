"""A file is refused with every problem in it, each with file, line, key and the nearest known names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar

import pytest
from fakedirty.errors import UsageError
from fakedirty.toml.document import Document, Problem
from fakedirty.toml.tables import Table, accepted_by, unknown
from pydantic import Field


def even(number: int) -> None:
    if number % 2:
        raise UsageError(f"{number} is not even")


class Inner(Table):
    replaced: ClassVar[Mapping[str, str]] = {"weight": "is now called mass"}

    mass: Annotated[int, accepted_by(even)] = 2
    length: float = 1.0


class Outer(Table):
    name: str
    at: str | float = 0.0
    inner: Inner = Field(default_factory=Inner)
    rows: list[Inner] = Field(default_factory=list)


def refused(text: str, path: Path | None = None) -> list[str]:
    """The lines of the refusal."""
    with pytest.raises(UsageError) as error:
        Document(text, path).checked(Outer)
    return str(error.value).split("\n")


def test_what_is_right_is_taken() -> None:
    found = Document('name = "x"\nat = "noon"\n[inner]\nlength = 3\n[[rows]]\nmass = 4\n').checked(Outer)
    assert (found.name, found.at, found.inner.length, found.rows[0].mass) == ("x", "noon", 3.0, 4)


@pytest.mark.parametrize(
    ("text", "reported"),
    [
        ("", "1: name: is missing"),
        ("name = 'x'\nnmae = 'y'", "2: nmae: no such key: 'nmae'; did you mean name?"),
        ("name = 'x'\nzzz = 'y'", "2: zzz: no such key: 'zzz'; known: name, at, inner, rows"),
        ("name = 'x'\n\n[inner]\nmas = 1", "4: inner.mas: no such key: 'mas'; did you mean mass?"),
        ("name = 'x'\n[inner]\nweight = 1", "3: inner.weight: is now called mass"),
        ("name = 'x'\n[[rows]]\n[[rows]]\nweight = 1", "4: rows[1].weight: is now called mass"),
        ("name = 'x'\ninner.mass = 3", "2: inner.mass: 3 is not even"),
        ("name = 'x'\ninner.mass = '3'", "2: inner.mass: input should be a valid integer, not '3'"),
        ("name = 'x'\ninner.mass = true", "2: inner.mass: input should be a valid integer, not True"),
        ("name = 'x'\ninner.length = '3'", "2: inner.length: input should be a valid number, not '3'"),
        ("name = 3", "1: name: input should be a valid string, not 3"),
        ("name = 'x'\ninner = 3", "2: inner: must be a table, not 3"),
        ("name = 'x'\nrows = [\n{mass = 2},\n3]", "4: rows[1]: must be a table, not 3"),
        ("name = ", "1: Invalid value (at end of document)"),
        ("name = 'x'\n\nat = \n", "3: Invalid value (at line 3, column 6)"),
    ],
)
def test_one_problem(text: str, reported: str) -> None:
    assert refused(text) == [reported]


def test_a_value_that_fits_no_member_of_a_union_is_reported_under_its_own_key() -> None:
    assert [line.split(": ")[:2] for line in refused("name = 'x'\nat = []")] == [["2", "at"]] * 2


def test_all_problems_are_reported_in_the_order_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "some.toml"
    text = "at = []\n[inner]\nlength = 'x'\nmass = 3\n"
    assert [line.split(": ")[:2] for line in refused(text, path)] == [
        [f"{path}:1", "name"],
        [f"{path}:1", "at"],
        [f"{path}:1", "at"],
        [f"{path}:3", "inner.length"],
        [f"{path}:4", "inner.mass"],
    ]


def test_other_problems_are_placed_too() -> None:
    document = Document("[inner]\nmass = 2\nlength = 3\n")
    found = document.refusal([Problem(("inner", "length"), "too long"), Problem(("inner", "mass"), "too light")])
    assert str(found) == "2: inner.mass: too light\n3: inner.length: too long"


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read .*none\.toml"):
        Document.read(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"name = '\xff'")
    with pytest.raises(UsageError, match=r"cannot read .*bytes\.toml"):
        Document.read(tmp_path / "bytes.toml")


def test_text_of_a_file_is_harmless_in_its_refusal() -> None:
    [line] = refused('name = "x"\n"a\\nb\\u001b[2J" = 1\n')
    assert "\\u001b" in line
    assert "a\\nb" in line


def test_names_that_are_listed_where_none_is_near() -> None:
    assert unknown("arm", "zzz", ["skip", "vanilla"], listed=["skip"]) == "no such arm: 'zzz'; known: skip"
    assert unknown("arm", "skp", ["skip", "vanilla"], listed=["skip"]).endswith("did you mean skip?")
