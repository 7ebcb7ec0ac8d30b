"""Markdown documents as tests read them: indented blocks, commands of fakedirty, links, and headings as anchors."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path


def blocks(text: str) -> list[str]:
    """Those that are indented as code."""
    return [textwrap.dedent(found).lstrip("\n") for found in re.findall(r"(?:^    .*\n|^\n(?=    ))+", text, re.M)]


def inline(text: str) -> list[str]:
    """What is in backticks outside of blocks, each on one line."""
    prose = re.sub(r"^    .*\n", "", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S), flags=re.M)
    return [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", prose)]


def commands(text: str) -> set[str]:
    """Every command of fakedirty's, in blocks and in lines."""
    lines = [line.split("#")[0].strip() for block in blocks(text) for line in block.splitlines()]
    found = [
        line[line.index("fakedirty ") :]
        for line in lines + inline(text)
        if re.search(r"(^|collector )fakedirty ", line)
    ]
    return {line.removesuffix(", and so on") for line in found}


def anchors(text: str) -> list[str]:
    """The headings, as a link names them behind ``#``."""
    heads = re.findall(r"^#+ (.*)$", text, re.M)
    return [re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads]


def broken_links(file: Path) -> Iterator[str]:
    """Links to files or headings that are not there; addresses of other hosts are not followed."""
    text = file.read_text()
    for target in re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'<img src="([^"]+)"', text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, section = target.partition("#")
        there = file.parent / path if path else file
        if not there.exists() or (section and section not in anchors(there.read_text())):
            yield target
