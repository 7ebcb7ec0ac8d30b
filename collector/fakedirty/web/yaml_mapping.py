"""A text in YAML as nested mappings of which each key and value knows its line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import yaml

from fakedirty.errors import UsageError

NULL = "tag:yaml.org,2002:null"


@dataclass(frozen=True, slots=True)
class Entry:
    """A value and the `line` of its key: `text` of a scalar (empty for null), `items` of a mapping, or neither."""

    line: int
    text: str | None = None
    items: Mapping[str, Entry] | None = None


def parse(text: str) -> Entry:
    """The whole text; an empty one is an empty mapping.

    Raises:
        UsageError: one line, which begins with the number of the line that is wrong.
    """
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise UsageError(f"{line}: not YAML: {error.problem}") from error
    except yaml.YAMLError as error:  # a character that YAML does not have; its message quotes the position alone
        raise UsageError(f"1: not YAML: {str(error).splitlines()[0]}") from error
    if node is None or node.tag == NULL:
        return Entry(1, items={})
    root = _entry(1, node, depth=0)
    if root.items is None:
        raise UsageError("1: expected keys with values")
    return root


MOST_DEPTH = 4  # more than the format has; an alias can make a text refer to itself


def _entry(line: int, node: yaml.Node, depth: int) -> Entry:
    if isinstance(node, yaml.ScalarNode):
        return Entry(line, text="" if node.tag == NULL else node.value)
    if isinstance(node, yaml.MappingNode) and depth < MOST_DEPTH:
        return Entry(line, items=dict(_items(node, depth)))
    return Entry(line)


def _items(node: yaml.MappingNode, depth: int) -> Iterator[tuple[str, Entry]]:
    seen = set()
    for key, value in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            raise UsageError(f"{line}: a key must be a word")
        if key.value in seen:
            raise UsageError(f"{line}: {key.value} is here a second time")
        seen.add(key.value)
        yield key.value, _entry(line, value, depth + 1)
