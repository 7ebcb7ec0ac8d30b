"""System calls that this process makes of itself: what they return, and the errors of the kernel."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable

import pytest
from fakedirty.linux import libc

CALLS: dict[str, tuple[Callable[[], object], int]] = {
    "unshare": (lambda: libc.unshare(1), errno.EINVAL),
    "setns": (lambda: libc.setns(1 << 20, libc.CLONE_NEWNET), errno.EBADF),
    "system_call": (lambda: libc.system_call(1 << 20), errno.ENOSYS),
    "perf_event_open": (lambda: libc.perf_event_open(bytes(128), 1 << 30, -1, 1 << 20), errno.EINVAL),
    "pidfd_getfd": (lambda: libc.pidfd_getfd(1 << 20, 0), errno.EBADF),
    "process_vm_readv": (lambda: libc.process_vm_readv(os.getpid(), 16, 8), errno.EFAULT),
}


@pytest.mark.parametrize("name", CALLS)
def test_what_the_kernel_refuses_is_an_oserror(name: str) -> None:
    call, number = CALLS[name]
    with pytest.raises(OSError) as caught:  # noqa: PT011 - its errno is compared
        call()
    assert caught.value.errno in (number, errno.EPERM)  # a seccomp filter may refuse the call first
    assert caught.value.strerror == os.strerror(caught.value.errno)


def test_a_system_call_returns_its_result() -> None:
    getpid = 39  # x86-64
    assert libc.system_call(getpid) == os.getpid()


def test_memory_is_read() -> None:
    text = ctypes.create_string_buffer(b"what a page holds")
    assert libc.process_vm_readv(os.getpid(), ctypes.addressof(text), 11) == b"what a page"


def test_a_descriptor_is_copied() -> None:
    reading, writing = os.pipe()
    process = os.pidfd_open(os.getpid())
    copy = libc.pidfd_getfd(process, writing)
    os.write(copy, b"through the copy")
    assert os.read(reading, 64) == b"through the copy"
    for descriptor in (reading, writing, process, copy):
        os.close(descriptor)
