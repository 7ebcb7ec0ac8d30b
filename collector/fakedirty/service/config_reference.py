"""``docs/configuration.md``, made from the configuration by ``python -m fakedirty.service.config_reference``.

With the argument `example` it prints the file that an installation begins with: every option, at its default.
"""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Iterator

from fakedirty.toml.tables import Table

from .config import extra, tables

HEAD = """# Configuration

`python -m fakedirty.service.config_reference` makes this page from `fakedirty.service.config`; a test compares the two.

`fakedirty observe --all --config FILE` reads the configuration of the service: a file in TOML with the tables below.
Options of the command line win over the file. `fakedirty config check FILE` reports every error in a file, with line
and key; `fakedirty config example` prints a file with every option at its default.
"""


def reference() -> str:
    """The whole document, in Markdown."""
    parts = [HEAD]
    for name, model in tables().items():
        parts.append(f"## [{name}]\n\n| option | default | unit | meaning |\n| --- | --- | --- | --- |")
        parts += [f"| `{name}` | `{default}` | {unit} | {meaning} |" for name, default, unit, meaning in _rows(model)]
        parts.append("")
    return "\n".join(parts)


def example() -> str:
    """A file, in TOML, with every option at its default."""
    parts = ["# The service of this host; `fakedirty config check` checks this file"]
    for name, model in tables().items():
        parts.append(f"\n[{name}]")
        for option, default, unit, meaning in _rows(model):
            comment = f"{meaning} ({unit})" if unit else meaning
            parts += [*(f"# {line}" for line in textwrap.wrap(comment, 100)), f"{option} = {default}"]
    return "\n".join(parts) + "\n"


def _rows(model: type[Table]) -> Iterator[tuple[str, str, str, str]]:
    """Name, default in TOML, unit and meaning of each option."""
    for name, field in model.model_fields.items():
        yield name, json.dumps(field.default), extra(model, name, "unit"), field.description or ""


if __name__ == "__main__":
    print(example() if sys.argv[1:] == ["example"] else reference(), end="")
