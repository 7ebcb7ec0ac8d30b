"""System calls that Python's own modules lack. Every function raises OSError where the kernel refuses the call."""

from __future__ import annotations

import ctypes
import os

CLONE_FS = 0x200  # unshare(2): working directory, root and umask
CLONE_NEWNET = 0x40000000  # setns(2): the network namespace

# numbers of system calls, x86-64
PERF_EVENT_OPEN = 298
_PIDFD_GETFD = 438


class _IoVector(ctypes.Structure):
    """``struct iovec``."""

    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class Timex(ctypes.Structure):
    """``struct timex``, up to its last member that is read here; see adjtimex(2)."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("frequency", ctypes.c_long),
        ("max_error_us", ctypes.c_long),
        ("estimated_error_us", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 160),
    )


_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_libc.unshare.argtypes = [ctypes.c_int]
_libc.setns.argtypes = [ctypes.c_int, ctypes.c_int]
_libc.adjtimex.argtypes = [ctypes.POINTER(Timex)]
_libc.process_vm_readv.restype = ctypes.c_ssize_t
_libc.process_vm_readv.argtypes = [
    *(ctypes.c_int, ctypes.POINTER(_IoVector), ctypes.c_ulong),
    *(ctypes.POINTER(_IoVector), ctypes.c_ulong, ctypes.c_ulong),
]


def unshare(flags: int) -> None:
    """Give the calling thread its own copy of what `flags` name (CLONE_FS)."""
    _checked(_libc.unshare(flags))


def setns(namespace: int, kind: int) -> None:
    """Move the calling thread into the namespace behind a descriptor, which must be of a kind (CLONE_NEWNET)."""
    _checked(_libc.setns(namespace, kind))


def system_call(number: int, *arguments: int) -> int:
    """Make a system call by its number, with integers as arguments, and return its result."""
    return _checked(_libc.syscall(ctypes.c_long(number), *map(ctypes.c_long, arguments)))


def perf_event_open(attribute: bytes, pid: int, cpu: int, flags: int) -> int:
    """Open a perf event that belongs to no group.

    Args:
        attribute: a ``struct perf_event_attr``, which has its own size in it.
        pid: the process to observe; -1: all processes.
        cpu: the CPU to observe; -1: all CPUs.
        flags: PERF_FLAG_*.

    Returns:
        The descriptor of the event.
    """
    buffer = ctypes.create_string_buffer(attribute, len(attribute))
    return system_call(PERF_EVENT_OPEN, ctypes.addressof(buffer), pid, cpu, -1, flags)


def pidfd_getfd(process: int, descriptor: int) -> int:
    """A copy of file descriptor `descriptor` of the process behind the pidfd `process`."""
    return system_call(_PIDFD_GETFD, process, descriptor, 0)


def process_vm_readv(pid: int, address: int, size: int) -> bytes:
    """Up to `size` bytes at an address of process `pid`; fewer where the memory behind them is not mapped."""
    buffer = ctypes.create_string_buffer(size)
    local, remote = _IoVector(ctypes.addressof(buffer), size), _IoVector(address, size)
    read = _checked(_libc.process_vm_readv(pid, ctypes.byref(local), 1, ctypes.byref(remote), 1, 0))
    return buffer.raw[:read]


def adjtimex() -> Timex:
    """What the kernel knows of its wall clock; nothing is adjusted."""
    timex = Timex()
    _checked(_libc.adjtimex(ctypes.byref(timex)))
    return timex


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return int(result)
