"""What a command prints: lines, each harmless by itself, and JSON."""

from __future__ import annotations

import json
import sys
import threading
from typing import TextIO

from fakedirty.harmless import harmless

_WRITING = threading.Lock()


def print_line(text: str) -> None:
    """One line on standard output, whatever ends of lines are in it."""
    _write(sys.stdout, harmless(text))


def print_notice(text: str) -> None:
    """One line on standard error: what a person is to know, and a program that reads the output is not."""
    _write(sys.stderr, harmless(text))


def print_json(value: object, indent: int | None = 2) -> None:
    """`value` in JSON on standard output, in ASCII."""
    _write(sys.stdout, json.dumps(value, indent=indent))


def _write(stream: TextIO, text: str) -> None:
    """A line as a whole: threads of several QEMUs write lines."""
    with _WRITING:
        stream.write(f"{text}\n")
        stream.flush()
