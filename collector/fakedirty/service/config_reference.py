"""``docs/configuration.md`` from the table of options: ``python -m fakedirty.service.dictionary``.

With the argument `example` the file that an installation begins with: every option, at its default.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import textwrap
from collections.abc import Iterator

from .config import SECTIONS

HEAD = """# Configuration

Made from `fakedirty.service.config` by `python -m fakedirty.service.dictionary`; a test holds the two together.

`fakedirty observe --all --config FILE` reads it: TOML, a table for each section below. `fakedirty config check FILE`
says what is wrong with a file, with line and key; `fakedirty config example` prints one with every option at its
default.
"""


def dictionary() -> str:
    """The whole document."""
    parts = [HEAD]
    for section, kind in SECTIONS.items():
        parts.append(f"## [{section}]\n\n| option | default | unit | meaning |\n| --- | --- | --- | --- |")
        parts += [f"| `{name}` | `{default}` | {unit} | {meaning} |" for name, default, unit, meaning in _rows(kind)]
        parts.append("")
    return "\n".join(parts)


def example() -> str:
    """A file with every option at its default."""
    parts = ["# fakedirty: what the service of this host does; `fakedirty config check` checks it"]
    for section, kind in SECTIONS.items():
        parts.append(f"\n[{section}]")
        for name, default, unit, meaning in _rows(kind):
            said = f"{meaning} ({unit})" if unit else meaning
            parts += [*(f"# {line}" for line in textwrap.wrap(said, 100)), f"{name} = {default}"]
    return "\n".join(parts) + "\n"


def _rows(kind: type) -> Iterator[tuple[str, str, str, str]]:
    for each in dataclasses.fields(kind):
        yield each.name, json.dumps(each.default), each.metadata["unit"], each.metadata["meaning"]


if __name__ == "__main__":
    print(example() if sys.argv[1:] == ["example"] else dictionary(), end="")
