"""Finds system calls that this process cannot make at all, because of a seccomp filter or of the kernel."""

from __future__ import annotations

import errno
import os

from . import libc


def refused_calls() -> dict[str, str]:
    """The system calls among those of an observation that fail before the kernel checks their arguments.

    Each is made with arguments that have no effect.

    Returns:
        The name of the error, such as ``EPERM``, by the name of the call.
    """
    found = {}
    for name, arguments, wrong in (
        ("bpf", (321, 0x7FFFFFFF, 0, 0), {errno.EINVAL, errno.E2BIG, errno.EFAULT}),
        ("perf_event_open", (libc.PERF_EVENT_OPEN, 0, 0, -1, -1, 0), {errno.EFAULT, errno.EINVAL}),
        ("unshare", (272, 0), set[int]()),
        ("process_vm_readv", (310, os.getpid(), 0, 0, 0, 0, 0), set[int]()),
    ):
        try:
            libc.system_call(*arguments)
        except OSError as error:
            if error.errno not in wrong:
                found[name] = errno.errorcode.get(error.errno or 0, str(error.errno))
    return found
