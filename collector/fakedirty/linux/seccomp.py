"""Finds system calls that this process cannot make at all, because of a seccomp filter or of the kernel."""

from __future__ import annotations

import ctypes
import errno
import os


def refused_calls() -> dict[str, str]:
    """The system calls among those of an observation that fail before the kernel checks their arguments.

    Each is made with arguments that have no effect.

    Returns:
        The name of the error, such as ``EPERM``, by the name of the call.
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
