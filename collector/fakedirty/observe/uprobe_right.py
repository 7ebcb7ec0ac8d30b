"""Whether this kernel lets this process create uprobes. Some ask for CAP_PERFMON, some for CAP_SYS_ADMIN.

No version says which, so the kernel itself is asked: for a uprobe in a file that does not exist. It
checks the right first.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from pathlib import Path

_PERF_EVENT_OPEN = 298  # x86-64
_ATTRIBUTE_BYTES = 136  # struct perf_event_attr; type and size come first
_PATH_OFFSET = 56  # uprobe_path
_CLOSE_ON_EXEC = 8
_REFUSALS = frozenset({errno.EACCES, errno.EPERM})


def may_create_uprobes(sources: Path = Path("/sys/bus/event_source/devices")) -> bool:
    """Ask the kernel; False also where it has no uprobes."""
    try:
        kind = int((sources / "uprobe/type").read_text())
    except (OSError, ValueError):
        return False
    nowhere = ctypes.create_string_buffer(b"/nonexistent/fakedirty")
    attribute = ctypes.create_string_buffer(_ATTRIBUTE_BYTES)
    struct.pack_into("<II", attribute, 0, kind, _ATTRIBUTE_BYTES)
    struct.pack_into("<Q", attribute, _PATH_OFFSET, ctypes.addressof(nowhere))
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.syscall(_PERF_EVENT_OPEN, attribute, os.getpid(), -1, -1, _CLOSE_ON_EXEC)
    if descriptor >= 0:
        os.close(descriptor)
        return True
    return ctypes.get_errno() not in _REFUSALS
