"""The levels of log lines: those of `logging`, and one between INFO and WARNING.

INFO is for the log of a service: a line for each decision. NOTICE is for the person who started a command: which QEMU
it observes, where it serves, where it has recorded.
"""

from __future__ import annotations

import logging

NOTICE = 25
logging.addLevelName(NOTICE, "NOTICE")

#: by the names that `--log-level` takes, from the one that writes most
LOG_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "notice": NOTICE,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
