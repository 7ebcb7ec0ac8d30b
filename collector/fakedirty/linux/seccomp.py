"""System calls that this process may not make, whatever it asks for: a seccomp filter, or a kernel without them."""

from __future__ import annotations

import errno
import os

from . import libc


def refused_calls() -> dict[str, str]:
    """Of the system calls that observing makes, those that are refused before the kernel looks at their arguments.

    Each is made with arguments that can do nothing.
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
