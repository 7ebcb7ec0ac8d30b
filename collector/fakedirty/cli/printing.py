"""What a command prints: lines, each harmless by itself, and JSON."""

from __future__ import annotations

import json
import sys

from fakedirty.harmless import harmless


def print_line(text: str) -> None:
    """One line on standard output, whatever ends of lines are in it."""
    print(harmless(text), flush=True)


def print_notice(text: str) -> None:
    """One line on standard error: what a person is to know, and a program that reads the output is not."""
    print(harmless(text), file=sys.stderr, flush=True)


def print_json(value: object, indent: int | None = 2) -> None:
    """`value` in JSON on standard output, in ASCII."""
    print(json.dumps(value, indent=indent), flush=True)
