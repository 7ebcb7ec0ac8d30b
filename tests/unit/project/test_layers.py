"""Imports run one way, read from the source: by rank, bcc in one module, the model of the standard library alone."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest
import rooms

# From the lowest. A room is named by its path, and has the rank of the longest path here that it begins with: an inner
# room may have a rank of its own, or that of the room around it.
LAYERS = (
    ("harmless", "log_levels"),
    ("errors", "model"),
    ("package_files", "linux", "format", "toml"),
    ("qmp",),
    ("observe/decode",),
    ("observe/host",),
    ("observe/bpf",),
    ("observe", "record", "web", "grafana"),
    ("whatif",),
    ("lab/guests", "export", "record/halves", "show"),
    ("lab", "web/ui"),
    ("lab/client",),
    ("lab/fuzz/plans", "lab/bench", "service"),
    ("lab/fuzz", "lab/bench/benchmarks"),
    ("campaign/workloads",),
    ("campaign",),
    ("campaign/report",),
    ("cli",),
    ("cli/commands",),
)
RANKS = {tuple(room.split("/")): rank for rank, layer in enumerate(LAYERS) for room in layer}
TREES = rooms.sources()
IMPORTS = rooms.imports(TREES)
ARCHITECTURE = Path(__file__).parents[3] / "docs/architecture.md"


def rank(room: str) -> int | None:
    """The rank of the longest path that `room` begins with."""
    path = tuple(room.split("/"))
    return next((RANKS[path[:length]] for length in range(len(path), 0, -1) if path[:length] in RANKS), None)


def test_every_room_has_a_rank() -> None:
    assert not [room for room in IMPORTS if rank(room) is None]
    assert {"/".join(path) for path in RANKS} <= set(IMPORTS), "a rank is of a room that is not there"


@pytest.mark.parametrize("room", sorted(IMPORTS))
def test_imports_go_to_lower_ranks(room: str) -> None:
    """Between rooms. Two inner rooms that share a rank import nothing of each other."""
    own = rank(room)
    assert own is not None
    wrong = [target for target in sorted(IMPORTS[room]) if (rank(target) or 0) >= own]
    assert not wrong, f"{room} imports {', '.join(wrong)}, which {'is' if len(wrong) == 1 else 'are'} not below it"


def test_the_picture_of_the_rooms_is_what_the_imports_are() -> None:
    """Both that of the arrows and the table of all imports."""
    text = ARCHITECTURE.read_text().split(rooms.BEGIN)[1].split(rooms.END)[0]
    drawn = set(re.findall(r'^    \w+\["(.*?)"\] --> \w+\["(.*?)"\]$', text, re.M))
    measured = {(room, target) for room, targets in rooms.reduced(IMPORTS).items() for target in targets}
    assert drawn == measured, "draw it again: make documents"
    assert text.strip() == rooms.picture(IMPORTS, TREES).strip()


@pytest.mark.parametrize(
    ("graph", "arrows"),
    [
        ({"a": "b", "b": "c", "c": ""}, {"a": "b", "b": "c", "c": ""}),
        ({"a": "bc", "b": "c", "c": ""}, {"a": "b", "b": "c", "c": ""}),
        ({"a": "bcd", "b": "d", "c": "d", "d": ""}, {"a": "bc", "b": "d", "c": "d", "d": ""}),
    ],
    ids=["a chain", "a shortcut", "two ways"],
)
def test_an_arrow_that_follows_from_others_is_not_drawn(graph: dict[str, str], arrows: dict[str, str]) -> None:
    found = rooms.reduced({room: frozenset(targets) for room, targets in graph.items()})
    assert found == {room: frozenset(targets) for room, targets in arrows.items()}


def test_imports_are_found_in_every_form() -> None:
    modules = {
        ("a", "one"): ast.parse("import fakedirty.b.two\nfrom .other import name\nfrom fakedirty import __version__"),
        ("a", "other"): ast.parse("from ..c import three\ndef late():\n    from fakedirty.top import thing"),
        ("b", "two"): ast.parse("import json"),
        ("c", "__init__"): ast.parse(""),
        ("c", "inner", "three"): ast.parse("from fakedirty.c import three\nfrom fakedirty.b.two import thing"),
        ("c", "three"): ast.parse(""),
        ("top",): ast.parse(""),
        ("__init__",): ast.parse("from .a.one import name"),
    }
    assert rooms.imports(modules) == {
        "a": frozenset({"b", "c", "top"}),
        "b": frozenset(),
        "c": frozenset(),
        "c/inner": frozenset({"b", "c"}),
        "top": frozenset(),
    }


def test_the_model_imports_the_standard_library_alone() -> None:
    allowed = {*sys.stdlib_module_names, "fakedirty"}
    model = {module: tree for module, tree in TREES.items() if module[0] == "model"}
    targets = {target for module, tree in model.items() for target in rooms.imported(module, tree)}
    assert {target[0] for target in targets} <= allowed
    assert not IMPORTS["model"]


def test_bcc_is_imported_in_one_module() -> None:
    importers = {
        module for module, tree in TREES.items() if any(target[0] == "bcc" for target in rooms.imported(module, tree))
    }
    assert len(importers) == 1, importers


def test_only_the_command_line_exits() -> None:
    exits = {("sys", "exit"), ("os", "_exit")}
    names = {"exit", "quit", "SystemExit"}
    wrong = []
    for module, tree in TREES.items():
        if module == ("cli", "main"):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                found = (node.value.id, node.attr) in exits
            else:
                found = isinstance(node, ast.Name) and node.id in names
            if found:
                wrong.append(f"{'.'.join(module)}:{node.lineno}")
    assert not wrong


def test_every_module_says_what_it_is() -> None:
    assert not [".".join(module) for module, tree in TREES.items() if not ast.get_docstring(tree)]
