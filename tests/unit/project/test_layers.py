"""Imports run one way, read from the source: by rank, bcc in one module, the model of the standard library alone."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import fakedirty

ROOT = Path(fakedirty.__file__).parent
RANKS = {
    "errors": 0,
    "package_files": 1,
    "model": 1,
    "format": 2,
    "linux": 2,
    "qmp": 3,
    **dict.fromkeys(("observe", "record", "export", "show", "grafana"), 4),
    "lab": 5,
    "service": 5,
    "web": 5,
    "campaign": 6,
    "cli": 7,
}
TREES = {
    path.relative_to(ROOT).with_suffix("").parts: ast.parse(path.read_text(), str(path)) for path in ROOT.rglob("*.py")
}


def imports(module: tuple[str, ...], tree: ast.AST) -> Iterator[tuple[str, ...]]:
    """Every module that `tree` imports, wherever in it, relative ones resolved."""
    package = ("fakedirty", *module[:-1])
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield tuple(alias.name.split("."))
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            name = (*base, *(node.module or "").split(".")) if node.module else base
            for alias in node.names:
                yield (*name, alias.name)


def test_every_package_has_a_rank() -> None:
    assert {module[0] for module in TREES} - {"__init__"} <= set(RANKS)


def test_imports_go_to_lower_ranks() -> None:
    wrong = []
    for module, tree in TREES.items():
        if module == ("__init__",):
            continue  # it hands out `load`, and imports it when it is called
        for target in imports(module, tree):
            if target[0] != "fakedirty" or target[1] == module[0] or target[1] not in RANKS:
                continue
            if RANKS[target[1]] >= RANKS[module[0]]:
                wrong.append(f"{'.'.join(module)} imports {'.'.join(target)}")
    assert not wrong


def test_the_model_imports_the_standard_library_alone() -> None:
    allowed = {*sys.stdlib_module_names, "fakedirty"}
    targets = {target for module, tree in TREES.items() if module[0] == "model" for target in imports(module, tree)}
    assert {target[0] for target in targets} <= allowed
    assert {target[1] for target in targets if target[0] == "fakedirty"} <= {"model"}


def test_bcc_is_imported_in_one_module() -> None:
    importers = {
        module for module, tree in TREES.items() if any(target[0] == "bcc" for target in imports(module, tree))
    }
    assert len(importers) <= 1, importers


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
