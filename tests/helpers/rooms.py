"""The rooms of the package and the imports between them, read from the source; and their picture in a document.

A room is a directory of ``collector/fakedirty``, or a module beside them. ``python tests/helpers/rooms.py FILE`` writes
the picture and the table of imports into FILE, between its markers.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "collector/fakedirty"
BEGIN, END = "<!-- rooms: begin -->", "<!-- rooms: end -->"

Module = tuple[str, ...]
Imports = Mapping[str, frozenset[str]]


def sources(package: Path = PACKAGE) -> dict[Module, ast.Module]:
    """Every module by its path below the package, ``("observe", "bpf", "__init__")``, parsed."""
    return {
        path.relative_to(package).with_suffix("").parts: ast.parse(path.read_text(), str(path))
        for path in package.rglob("*.py")
    }


def imported(module: Module, tree: ast.AST, package: str = "fakedirty") -> Iterator[tuple[str, ...]]:
    """Every name that `tree` imports, wherever in it, relative ones resolved: ``("fakedirty", "model", "round")``."""
    own = (package, *module[:-1])
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield tuple(alias.name.split("."))
        elif isinstance(node, ast.ImportFrom):
            base = own[: len(own) - node.level + 1] if node.level else ()
            name = (*base, *(node.module or "").split(".")) if node.module else base
            for alias in node.names:
                yield (*name, alias.name)


def room(module: Module) -> str:
    """The room of a module: its directory, ``observe/bpf``; the module itself where it lies beside the rooms."""
    return "/".join(module[:-1]) or module[0]


def imports(modules: Mapping[Module, ast.AST]) -> Imports:
    """The other rooms that each room imports. The package's own ``__init__`` (its version, lazy loading) is no room."""
    found: dict[str, set[str]] = {room(module): set() for module in modules if module != ("__init__",)}
    for module, tree in modules.items():
        if module == ("__init__",):
            continue
        for name in imported(module, tree):
            target = _module(name[1:], modules) if name[0] == "fakedirty" else None
            if target and room(target) != room(module):
                found[room(module)].add(room(target))
    return {name: frozenset(targets) for name, targets in found.items()}


def _module(name: tuple[str, ...], modules: Mapping[Module, ast.AST]) -> Module | None:
    """The module in which an imported name lies; None for the package itself."""
    for length in range(len(name), 0, -1):
        for module in (name[:length], (*name[:length], "__init__")):
            if module in modules:
                return module
    return None


def reachable(of: str, graph: Imports) -> frozenset[str]:
    """Every room that a room imports, directly or through others; the room itself where imports run in a circle."""
    found: set[str] = set()
    waiting = list(graph[of])
    while waiting:
        if (name := waiting.pop()) not in found:
            found.add(name)
            waiting += graph[name]
    return frozenset(found)


def reduced(graph: Imports) -> Imports:
    """The imports without those that follow from others. `graph` has no circle."""
    return {
        name: frozenset(
            target for target in targets if not any(target in reachable(other, graph) for other in targets - {target})
        )
        for name, targets in graph.items()
    }


def picture(graph: Imports, modules: Mapping[Module, ast.Module]) -> str:
    """The rooms as a Mermaid diagram and, below it, the table of all rooms: what each is, and all that it imports."""
    arrows = [
        f"    {_node(name)} --> {_node(target)}" for name, targets in _sorted(reduced(graph)) for target in targets
    ]
    rows = [
        f"| `{name}` | {_summary(name, modules)} | {', '.join(f'`{target}`' for target in targets)} |"
        for name, targets in _sorted(graph)
    ]
    table = ["| room | what it is | imports |", "| --- | --- | --- |", *rows]
    return "\n".join(["```mermaid", "flowchart TD", *arrows, "```", "", *table]) + "\n"


def _summary(name: str, modules: Mapping[Module, ast.Module]) -> str:
    """The first line of a room's docstring, ``literals`` as Markdown has them."""
    path = tuple(name.split("/"))
    tree = modules.get((*path, "__init__")) or modules[path]
    return (ast.get_docstring(tree) or "").partition("\n")[0].replace("``", "`")


def _sorted(graph: Imports) -> list[tuple[str, list[str]]]:
    return [(name, sorted(graph[name])) for name in sorted(graph)]


def _node(name: str) -> str:
    """A Mermaid node: an id without a slash, and the name."""
    return f'{name.replace("/", "__")}["{name}"]'


def main(file: Path) -> None:
    """Replace what is between the markers in `file`."""
    before, rest = file.read_text().split(BEGIN)
    after = rest.split(END)[1]
    modules = sources()
    file.write_text(f"{before}{BEGIN}\n\n{picture(imports(modules), modules)}\n{END}{after}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
