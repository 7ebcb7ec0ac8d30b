"""Documents for all readers: links lead somewhere, the index is complete, and what is named exists."""

from __future__ import annotations

import argparse
import ast
import importlib
import re
import shlex
import tomllib
from collections import Counter
from pathlib import Path

import pytest
import rooms
from documents import broken_links, commands, inline
from fakedirty.cli.main import COMMANDS, module_of

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
README, CONTRIBUTING, ARCHITECTURE, GLOSSARY, INDEX = (
    ROOT / name
    for name in ("README.md", "CONTRIBUTING.md", "docs/architecture.md", "docs/glossary.md", "docs/README.md")
)
DOCUMENTS = [
    *(path for path in sorted(ROOT.glob("*.md"))),
    *sorted(DOCS.rglob("*.md")),
    ROOT / "guests/README.md",
    ROOT / "qemu-patches/model/README.md",
]
TARGETS = set(re.findall(r"^([\w.$()/-]+):", (ROOT / "Makefile").read_text().replace("$(VENV)", ".venv"), re.M))
#: where a path that a document names may lie
PLACES = (ROOT, rooms.PACKAGE, ROOT / "tests")
FILE = re.compile(r"[\w./-]+\.(?:py|c|h|sh|md|toml|yml|service)")


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def rows(text: str, heading: str) -> list[list[str]]:
    """The cells of the first table below a heading."""
    _, section = text.split(f"\n## {heading}\n")
    lines = [line for line in section.partition("\n## ")[0].splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_links_lead_somewhere(document: Path) -> None:
    assert not list(broken_links(document))


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_make_has_the_targets_that_are_named(document: Path) -> None:
    named = [words.split()[1:] for words in inline(document.read_text()) if words.startswith("make ")]
    lines = re.findall(r"^    make ([^#\n]+)", document.read_text(), re.M)
    wanted = {word for words in [*named, *(line.split() for line in lines)] for word in words if "=" not in word}
    assert wanted <= TARGETS


def test_the_index_has_every_document_once() -> None:
    listed = Counter(re.findall(r"^- \[.*?\]\(([^)]+)\)", INDEX.read_text(), re.M))
    assert set(listed.values()) == {1}
    found = {(DOCS / path).resolve() for path in listed}
    assert found == {*DOCUMENTS, *(DOCS / "examples").glob("*.py")} - {INDEX}


def test_the_readme_is_a_front_door() -> None:
    text = README.read_text()
    assert len(text.splitlines()) <= 130
    [called] = re.findall(r"^exec (make \w+)$", (ROOT / ".ci/run").read_text(), re.M)
    assert called in text


@pytest.mark.parametrize("command", sorted(commands(README.read_text()) | commands(GLOSSARY.read_text())))
def test_commands_are_ones(command: str) -> None:
    _, subcommand, *words = shlex.split(command)
    assert subcommand in COMMANDS
    if words:
        parser = argparse.ArgumentParser()
        importlib.import_module(f"fakedirty.cli.commands.{module_of(subcommand)}").add_arguments(parser)
        parser.parse_args(words)


@pytest.mark.parametrize("document", [CONTRIBUTING, ARCHITECTURE, ROOT / "SECURITY.md", GLOSSARY], ids=name)
def test_files_and_rooms_that_are_named_exist(document: Path) -> None:
    directories = {room.partition("/")[0] for room in rooms.imports(rooms.sources())}
    spans = {span.rstrip("/") for span in inline(document.read_text()) if re.fullmatch(r"[\w./-]+", span)}
    files = {span for span in spans if FILE.fullmatch(span) and "/" in span and not span.startswith("docs/devel/")}
    modules = {span for span in spans - files if span.partition("/")[0] in directories and "/" in span}
    assert files | modules
    assert not {path for path in files if not any((place / path).exists() for place in PLACES)}
    assert not {
        path for path in modules if not (rooms.PACKAGE / path).is_dir() and not (rooms.PACKAGE / f"{path}.py").exists()
    }


def test_classes_of_the_glossary_are_where_it_says() -> None:
    table = rows(GLOSSARY.read_text(), "Nouns of the code")
    assert len(table) > 20
    for noun, file, _ in table:
        tree = ast.parse((rooms.PACKAGE / file.strip("`")).read_text())
        assert noun.strip("`") in {node.name for node in tree.body if isinstance(node, ast.ClassDef)}, noun


def test_the_glossary_has_one_entry_for_a_word() -> None:
    text = GLOSSARY.read_text()
    headings = re.findall(r"^## (.*)$", text, re.M)
    words = [word.strip("* ") for heading in headings[:-1] for row in rows(text, heading) for word in row[0].split(",")]
    assert not [word for word, count in Counter(words).items() if count > 1]


def _named_threads(package: Path) -> set[str]:
    """The names that threads and pools of the collector are given, without what differs from one to the next."""
    found = set()
    for path in package.rglob("*.py"):
        if path.relative_to(package).parts[0] in ("lab", "campaign"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("Thread", "ThreadPoolExecutor")):
                for keyword in node.keywords:
                    if keyword.arg in ("name", "thread_name_prefix"):
                        value = keyword.value
                        first = value.values[0] if isinstance(value, ast.JoinedStr) else value
                        found.add(str(first.value).strip() if isinstance(first, ast.Constant) else "")
    return found


def test_the_threads_of_the_architecture_are_those_of_the_code() -> None:
    listed = [
        thread for row in rows(ARCHITECTURE.read_text(), "Threads") for thread in re.findall(r"`([^`]+)`", row[0])
    ]
    words = {re.sub(r" (?:PID|PATH)$", "", thread) for thread in listed}
    # those of the fleet are named by their methods
    assert words - {"search", "tick"} == _named_threads(rooms.PACKAGE) - {""}


def test_every_library_has_its_use() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {*project["dependencies"], *project["optional-dependencies"]["libvirt"]}
    table = rows(ARCHITECTURE.read_text(), "Libraries, and what they are used for")
    listed = {re.findall(r"`([^`]+)`", row[0])[0] for row in table}
    assert listed == {"bcc", *(re.split(r"[=>]", requirement)[0] for requirement in wanted)}
