"""Whether this process may create uprobes. Some kernels need CAP_PERFMON for that, others CAP_SYS_ADMIN.

The version of a kernel does not show which one. So this tries to create a uprobe in a file that does not exist: the
kernel checks the capability before it opens the file.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from fakedirty.linux.uprobe import SOURCES, BpfError, open_event

_REFUSALS = frozenset({errno.EACCES, errno.EPERM, errno.ENODEV})  # ENODEV: the kernel has no uprobes


def may_create_uprobes(sources: Path = SOURCES) -> bool:
    """Whether this process may create uprobes. False also if the kernel has none."""
    try:
        os.close(open_event(Path("/nonexistent/fakedirty"), 0, os.getpid(), sources=sources))
    except BpfError as error:
        return error.errno not in _REFUSALS
    return True
