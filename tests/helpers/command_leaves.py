"""Every command that does something, found from the parsers."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from fakedirty.cli.main import COMMANDS, parser_for

Leaf = tuple[tuple[str, ...], argparse.ArgumentParser]


def leaves(parser: argparse.ArgumentParser, words: tuple[str, ...] = ()) -> Iterator[Leaf]:
    """Every command that does something, in words, with its parser."""
    below = [each for each in parser._actions if isinstance(each, argparse._SubParsersAction)]
    if not below:
        yield words, parser
    for each in below:
        for name, child in each.choices.items():
            if words or name in COMMANDS:
                yield from leaves(child, (*words, name))


LEAVES = {
    " ".join(words): (words, parser)
    for command in COMMANDS
    for words, parser in leaves(parser_for(command)[0])
    if words[0] == command
}


def has_option(leaf: str, option: str) -> bool:
    """Whether a command has it."""
    return any(option in each.option_strings for each in LEAVES[leaf][1]._actions)
