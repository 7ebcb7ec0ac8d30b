"""The mutations that the unit tests are held against: which there are, and that none is of something that is gone."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[2]
ROOT = TESTS.parent
sys.path.insert(0, str(TESTS / "mutation"))

import selection  # noqa: E402
import survivors  # noqa: E402
from covered import Covered  # noqa: E402
from mutator import Mutation, mutations  # noqa: E402


def changes(source: str) -> list[str]:
    """Every mutated source."""
    return [each.apply(source.encode()).decode() for each in mutations(source.encode(), "x.py")]


@pytest.mark.parametrize(
    ("source", "mutated"),
    [
        ("a <= b", ["a < b", "a > b"]),
        ("(a)  is not (b)", ["(a)  is (b)"]),
        ("a not in b", ["a in b"]),
        ("a and b", ["a or b", "True and b", "a and True"]),
        ("x = not a", ["x =  a"]),
        ("-a", ["a"]),
        ("a // b", ["a * b"]),
        ("a += b", ["a -= b"]),
        ("x = True", ["x = False"]),
        ("x = 7", ["x = 8"]),
        ("x = 0.5", ["x = 1.0", "x = 0.25"]),
        ("a if b else c", ["a if True else c", "a if False else c"]),
        ("[a for a in b if c]", ["[a for a in b if True]", "[a for a in b if False]"]),
        ("min(a, b)", ["max(a, b)", "pass"]),
        ("(a, b, c)", ["(b, c)", "(a, c)", "(a, b)"]),
        ("{a: b, **c}", ["{**c}", "{a: b}"]),
        ("raise a", ["pass"]),
        ("a.b = c", ["pass"]),
        ("a, b = c, d", []),
    ],
)
def test_changes(source: str, mutated: list[str]) -> None:
    assert sorted(changes(source)) == sorted(mutated)


def test_statements_in_functions() -> None:
    assert sorted(changes("def f():\n    return a\n")) == ["def f():\n    return None\n"]
    loop = "for a in b:\n    if c:\n        continue\n"
    assert loop.replace("continue", "break") in changes(loop)
    assert "match a:\n    case b if False:\n        c\n" in changes("match a:\n    case b if d:\n        c\n")


@pytest.mark.parametrize(
    "source",
    [
        "'''0 and 1'''",
        "a: int | None",
        "def f(a: int | None) -> int | None: ...",
        "@dataclass(frozen=True)\nclass A: ...",
        "f'{a + 1}'",
        "assert a == 1",
        "_log.warning('%d', a + 1)",
        "return None",
        "import a.b",
    ],
)
def test_what_no_test_should_see_is_left_alone(source: str) -> None:
    source = f"def f():\n    {source}\n" if source.startswith("return") else source
    assert changes(source) == []


SOURCE = b"def first(a):\n    return a < 1\n\n\nclass Second:\n    def third(self, b):\n        return b < 1\n"


def test_a_mutation_keeps_its_id_where_other_lines_change() -> None:
    before = {each.id: each for each in mutations(SOURCE, "x.py")}
    after = {each.id: each for each in mutations(b"import a\n\n" + SOURCE.replace(b"first", b"other"), "x.py")}
    both = [before[name] for name in before.keys() & after.keys()]
    assert {each.function for each in both} == {"Second.third"}
    assert len(both) == sum(each.function == "Second.third" for each in before.values()) == 4


def test_equal_changes_of_equal_lines_have_different_ids() -> None:
    found = mutations(b"def f(a):\n    a.b = 1\n    a.b = 1\n", "x.py")
    assert len({each.id for each in found}) == len(found) == 4


def test_lines_are_those_of_the_statement_or_of_the_head_of_a_block() -> None:
    source = b"def f(a):\n    if (\n        a < 1\n    ):\n        return (a,\n                b)\n"
    assert {each.lines for each in mutations(source, "x.py")} == {(2, 4), (5, 6)}


def test_tests_that_execute_the_lines_are_chosen_nearest_and_shortest_first() -> None:
    path = "collector/fakedirty/model/round.py"
    covered = Covered(
        files={path: {2: {"tests/unit/cli/a", "tests/unit/model/b", "tests/unit/model/c"}, 9: {"tests/unit/model/d"}}},
        seconds={"tests/unit/cli/a": 0.1, "tests/unit/model/b": 3.0, "tests/unit/model/c": 2.0},
        failed={"tests/unit/model/e"},
    )
    executed = Mutation(path, "Round.valid", (1, 2), 0, 1, "a", "b", "kind", "line")
    assert covered.of(executed) == ["tests/unit/model/c", "tests/unit/model/b", "tests/unit/cli/a"]
    unseen = Mutation(path, "Round.valid", (5, 5), 0, 1, "a", "b", "kind", "line")
    assert set(covered.of(unseen)) == {"tests/unit/model/d", *covered.of(executed)}


@pytest.mark.parametrize("function", ["", "Round", "_Round"])
def test_whatever_test_came_first_all_tests_of_a_module_see_its_import(function: str) -> None:
    path = "collector/fakedirty/model/round.py"
    covered = Covered(
        files={path: {2: {"tests/unit/cli/a"}, 9: {"tests/unit/model/d"}}},
        seconds={"tests/unit/cli/a": 0.1, "tests/unit/model/d": 3.0},
    )
    imported = Mutation(path, function, (2, 2), 0, 1, "a", "b", "kind", "line")
    assert covered.of(imported) == ["tests/unit/model/d", "tests/unit/cli/a"]


def test_every_security_check_that_is_named_is_there() -> None:
    found = selection.security(ROOT, "seed")
    assert len({(each.path, each.start) for each in found}) == len(found) > 500


def test_the_sample_follows_from_the_seed() -> None:
    one, again = selection.pure(ROOT, 20, "one"), selection.pure(ROOT, 20, "one")
    assert one == again
    assert {each.id for each in one} != {each.id for each in selection.pure(ROOT, 20, "other")}
    assert {each.id for each in one} <= {each.id for each in selection.pure(ROOT, 40, "one")}


def test_every_survivor_has_a_reason_and_is_of_a_line_that_is_there() -> None:
    known = survivors.listed()
    assert [entry for entry in known if len(entry.reason) < 20] == []
    paths = sorted({entry.path for entry in known})
    every = [each for path in paths for each in mutations((ROOT / path).read_bytes(), path)]
    assert survivors.outdated(known, every) == []


def test_an_entry_is_of_the_mutation_that_it_was_made_from(tmp_path: Path) -> None:
    [mutation, *_] = mutations(b"a = {'x': \"\\\\y\" < b}\n", "x.py")
    file = tmp_path / "survivors.toml"
    file.write_text(survivors.entry(mutation))
    [entry] = survivors.listed(file)
    assert entry.is_of(mutation)
