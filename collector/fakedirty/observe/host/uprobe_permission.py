"""Whether this kernel lets this process create uprobes. Some ask for CAP_PERFMON, some for CAP_SYS_ADMIN.

No version says which, so the kernel itself is asked: for a uprobe in a file that does not exist. It
checks the right first.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from fakedirty.observe.bpf.uprobe import SOURCES, BpfError, open_event

_REFUSALS = frozenset({errno.EACCES, errno.EPERM, errno.ENODEV})  # the last one is that there are no uprobes


def may_create_uprobes(sources: Path = SOURCES) -> bool:
    """Ask the kernel; False also where it has no uprobes."""
    try:
        os.close(open_event(Path("/nonexistent/fakedirty"), 0, os.getpid(), sources=sources))
    except BpfError as error:
        return error.errno not in _REFUSALS
    return True
