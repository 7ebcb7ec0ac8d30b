"""The log on standard error: one harmless line for each record, from the level that `--log-level` names."""

from __future__ import annotations

import argparse
import logging
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fakedirty.harmless import harmless
from fakedirty.log_levels import LOG_LEVELS

from .standard_streams import set_off

DEFAULT = "notice"  # of commands that are no service


@contextmanager
def log_output() -> Iterator[None]:
    """In the ``with`` block, records of fakedirty, of libraries and of Python's own warnings go to standard error."""
    ours, root, qmp = (logging.getLogger(name) for name in ("fakedirty", "", "qemu.qmp"))
    handler, level = _StandardError(), ours.level
    logging.captureWarnings(capture=True)
    for logger in (ours, root):
        logger.addHandler(handler)
    ours.propagate = False
    qmp.propagate = False  # it logs what it also raises
    set_log_level(DEFAULT)
    try:
        yield
    finally:
        for logger in (ours, root):
            logger.removeHandler(handler)
        ours.propagate = qmp.propagate = True
        ours.setLevel(level)
        logging.captureWarnings(capture=False)


def add_log_level(parser: argparse.ArgumentParser, default: str = DEFAULT) -> None:
    """``--log-level``; `default` is the text of the help about the level that is used without it."""
    parser.add_argument(
        "--log-level",
        choices=tuple(LOG_LEVELS),
        help=f"log to standard error from this level on; default: {default}",
    )


def set_log_level(name: str) -> None:
    """Log from the level of this name on."""
    logging.getLogger("fakedirty").setLevel(LOG_LEVELS[name])


class _OneLine(logging.Formatter):
    """One line for each record, whatever is in it, and a traceback below it, indented.

    From WARNING on a line begins with ``fakedirty:``, as errors of the command do.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Format everything anew: another handler may have put other text into the record."""
        head = "fakedirty: " if record.levelno >= logging.WARNING else ""
        parts = [harmless(f"{head}{record.getMessage()}")]
        if record.exc_info:
            parts.append(set_off("".join(traceback.format_exception(*record.exc_info))))
        if record.stack_info:
            parts.append(set_off(record.stack_info))
        return "\n".join(parts)


class _StandardError(logging.StreamHandler[Any]):
    """Writes to whatever standard error is at the moment."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)
        self.setFormatter(_OneLine())

    @property
    def stream(self) -> Any:
        """The stream to write to."""
        return sys.stderr

    @stream.setter
    def stream(self, _: Any) -> None:
        """It cannot be set."""
