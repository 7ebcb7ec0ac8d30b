"""System calls that this process may not make, whatever it asks for: a seccomp filter, or a kernel without them."""

from __future__ import annotations

import ctypes
import errno
import os


def refused_calls() -> dict[str, str]:
    """Of the system calls that observing makes, those that are refused before the kernel looks at their arguments.

    Each is made with arguments that can do nothing.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    found = {}
    for name, arguments, wrong in (
        ("bpf", (321, 0x7FFFFFFF, 0, 0), {errno.EINVAL, errno.E2BIG, errno.EFAULT}),
        ("perf_event_open", (298, 0, 0, -1, -1, 0), {errno.EFAULT, errno.EINVAL}),
        ("unshare", (272, 0), set[int]()),
        ("process_vm_readv", (310, os.getpid(), 0, 0, 0, 0, 0), set[int]()),
    ):
        if libc.syscall(*map(ctypes.c_long, arguments)) < 0 and (number := ctypes.get_errno()) not in wrong:
            found[name] = errno.errorcode.get(number, str(number))
    return found
