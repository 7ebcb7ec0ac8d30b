"""Standard output and standard error, which may be a terminal: all text that reaches them is harmless."""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from fakedirty.harmless import HarmlessStream, harmless


@contextmanager
def harmless_streams() -> Iterator[None]:
    """In the ``with`` block, only harmless text reaches the standard streams, whoever writes to them."""
    out, err = sys.stdout, sys.stderr
    hook = threading.excepthook
    for stream in (out, err):
        if (reconfigure := getattr(stream, "reconfigure", None)) is not None:
            reconfigure(errors="backslashreplace")  # a character that the terminal's encoding lacks is no error
    sys.stdout, sys.stderr = cast(Any, HarmlessStream(out)), cast(Any, HarmlessStream(err))
    threading.excepthook = lambda fault: show_fault(
        "".join(traceback.format_exception(fault.exc_type, fault.exc_value, fault.exc_traceback))
    )
    try:
        yield
    finally:
        sys.stdout, sys.stderr = out, err
        threading.excepthook = hook


def show_fault(text: str) -> None:
    """Write a traceback to standard error, indented."""
    print(set_off(text), file=sys.stderr, flush=True)


def set_off(text: str) -> str:
    """Text of several lines, each harmless and indented, so that none looks like a line of ours."""
    return "\n".join(f"  {harmless(line)}" for line in text.rstrip("\n").split("\n"))
