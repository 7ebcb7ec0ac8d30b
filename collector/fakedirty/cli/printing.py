"""Text that commands print: lines, each harmless by itself, and JSON."""

from __future__ import annotations

import json
import sys
import threading
from typing import TextIO

from fakedirty.harmless import harmless

_WRITING = threading.Lock()


def print_line(text: str) -> None:
    """Print one line on standard output; ends of lines in `text` are escaped."""
    _write(sys.stdout, harmless(text))


def print_notice(text: str) -> None:
    """Print one line on standard error: for a person, not for a program that reads the output."""
    _write(sys.stderr, harmless(text))


def print_json(value: object, indent: int | None = 2) -> None:
    """Print `value` on standard output, in JSON and in ASCII."""
    _write(sys.stdout, json.dumps(value, indent=indent))


def _write(stream: TextIO, text: str) -> None:
    """Write a whole line: several threads write lines."""
    with _WRITING:
        stream.write(f"{text}\n")
        stream.flush()
