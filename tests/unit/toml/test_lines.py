"""The line of each key of a TOML file, in all the forms that TOML has for keys, tables and values."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fakedirty.service.config_reference import example
from fakedirty.toml.lines import Key, lines_of

ROOT = Path(__file__).parents[3]
FILES = {path.stem: path.read_text() for path in sorted(ROOT.glob("campaigns/*.toml"))} | {"service": example()}


def paths(value: Any, at: Key = ()) -> Iterator[Key]:
    """Every path into the content of a file."""
    below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, each in below:
        yield (*at, name)
        yield from paths(each, (*at, name))


@pytest.mark.parametrize("text", FILES.values(), ids=FILES)
def test_every_key_of_a_real_file_has_the_line_that_it_stands_in(text: str) -> None:
    lines, found = text.splitlines(), lines_of(text)
    assert set(found) == set(paths(tomllib.loads(text)))
    for path, number in found.items():
        if isinstance(path[-1], str):
            assert re.search(rf"\b{re.escape(path[-1])}\b", lines[number - 1]), path


FORMS = {
    "a key": ("x = 1", {("x",): 1}),
    "after a comment": ("# x = 0\n\nx = 1", {("x",): 3}),
    "a dotted key": ("a . b.c = 1", {("a",): 1, ("a", "b"): 1, ("a", "b", "c"): 1}),
    "a quoted key": ("[t]\n\"a\\u0042 ] = .\" = 1\n'c.d' = 2", {("t",): 1, ("t", "aB ] = ."): 2, ("t", "c.d"): 3}),
    "a table": ("[ a.b ] # c\nx = 1", {("a",): 1, ("a", "b"): 1, ("a", "b", "x"): 2}),
    "an array over lines": (
        "x = [ # [\n1, # ,\n\n2]\ny = 1",
        {("x",): 1, ("x", 0): 2, ("x", 1): 4, ("y",): 5},
    ),
    "an inline table": ("x = {y = 1, z.w = [{v = 2}]}", dict.fromkeys([("x",), ("x", "y"), ("x", "z")], 1)),
    "text that looks like keys": (
        'x = """\na = 1\n[b]\n""""\ny = \'\'\'\nc = 1\n\'\'\'\nz = "]\\"#"',
        {("x",): 1, ("y",): 5, ("z",): 8},
    ),
    "an array of tables": (
        "[[t]]\nx = 1\n[t.u]\ny = 1\n[[t]]\n[[t.v]]\n[[t.v]]\nz = 1979-05-27 07:32:32",
        {
            ("t",): 1,
            ("t", 0): 1,
            ("t", 0, "x"): 2,
            ("t", 0, "u"): 3,
            ("t", 0, "u", "y"): 4,
            ("t", 1): 5,
            ("t", 1, "v"): 6,
            ("t", 1, "v", 0): 6,
            ("t", 1, "v", 1): 7,
            ("t", 1, "v", 1, "z"): 8,
        },
    ),
    "nothing": ("# only a comment", {}),
    "ends of lines of another system": ("a = 1\r\n[b]\r\nc = 2\r\n", {("a",): 1, ("b",): 2, ("b", "c"): 3}),
}


@pytest.mark.parametrize(("text", "expected"), FORMS.values(), ids=FORMS)
def test_the_forms_of_toml(text: str, expected: dict[Key, int]) -> None:
    found = lines_of(text)
    assert found.items() >= expected.items()
    assert set(found) == set(paths(tomllib.loads(text)))
