"""Standard output, standard error and the log, which may be a terminal: what reaches them is harmless."""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from fakedirty.harmless import HarmlessStream, harmless


@contextmanager
def harmless_streams() -> Iterator[None]:
    """While it lasts, nothing but harmless text reaches the standard streams, whoever writes to them."""
    out, err = sys.stdout, sys.stderr
    hook = threading.excepthook
    for stream in (out, err):
        if (reconfigure := getattr(stream, "reconfigure", None)) is not None:
            reconfigure(errors="backslashreplace")  # what the terminal's encoding has not is no fault
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
    """A traceback, set off from what stands at the beginning of a line."""
    print(_set_off(text), file=sys.stderr, flush=True)


def _set_off(text: str) -> str:
    return "\n".join(f"  {harmless(line)}" for line in text.rstrip("\n").split("\n"))


class _OneLine(logging.Formatter):
    """``fakedirty: message``, on one line whatever is in it; a traceback below it is set off."""

    def format(self, record: logging.LogRecord) -> str:
        """Nothing is taken that another handler has formatted already."""
        parts = [harmless(f"fakedirty: {record.getMessage()}")]
        if record.exc_info:
            parts.append(_set_off("".join(traceback.format_exception(*record.exc_info))))
        if record.stack_info:
            parts.append(_set_off(record.stack_info))
        return "\n".join(parts)


class _Notices(logging.StreamHandler[Any]):
    """Writes to what standard error is at the moment."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)
        self.setFormatter(_OneLine())

    @property
    def stream(self) -> Any:
        """Where it writes."""
        return sys.stderr

    @stream.setter
    def stream(self, _: Any) -> None:
        """It cannot be set."""


def show_warnings() -> None:
    """What goes wrong on the way, such as a recording that stops, is told like an error, and the work goes on.

    It is the same handler for libraries, and for Python's own warnings.
    """
    logging.captureWarnings(capture=True)
    for logger in (logging.getLogger("fakedirty"), logging.getLogger()):
        if not any(isinstance(handler, _Notices) for handler in logger.handlers):
            logger.addHandler(_Notices())
    logging.getLogger("fakedirty").propagate = False
    logging.getLogger("qemu.qmp").propagate = False  # it logs what it also raises
