"""Attach a BPF program to an instruction of an executable, by a perf event of the kind uprobe.

The event belongs to this process. However this process ends, the kernel detaches the program and lowers the semaphore.
libbcc can attach, too. But it reports no errno, and it falls back to tracefs, where a probe has no semaphore and
outlives its process.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import struct
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from fakedirty.errors import FakedirtyError

from . import libc

#: `pid` of an event that fires in every process that runs the executable
EVERY_PROCESS = -1

_ATTRIBUTE = struct.Struct("<IIQ40xQQ64x")  # struct perf_event_attr: type, size, config, uprobe_path, probe_offset
_SEMAPHORE_SHIFT = 32  # of config: the file offset of the semaphore (format/ref_ctr_offset)
_CLOSE_ON_EXEC = 8
_CLOSING = 16  # events that are closed at a time
_ENABLE, _SET_BPF = 0x2400, 0x40042408  # PERF_EVENT_IOC_*
SOURCES = Path("/sys/bus/event_source/devices")

#: what an errno of attaching means, and what helps
_MEANINGS = {
    errno.EMFILE: "this process has no file descriptor left: raise its limit (LimitNOFILE= of the unit, ulimit -n)",
    errno.ENFILE: "the host has no file descriptor left (sysctl fs.file-max)",
    errno.ENOMEM: "the kernel has no memory left, or this process may lock no more (LimitMEMLOCK=, ulimit -l)",
    errno.EPERM: "this process may not: CAP_PERFMON or CAP_SYS_ADMIN is missing, or a policy of the host forbids it "
    "(lockdown, seccomp, kernel.perf_event_paranoid)",
    errno.EACCES: "this process may not: CAP_PERFMON is missing (kernel.perf_event_paranoid)",
    errno.ENOENT: "the executable is gone, or the kernel cannot probe it",
    errno.ESRCH: "the process has ended",
    errno.E2BIG: "too many programs are attached to this instruction already: end another tracer",
    errno.EBUSY: "another tracer holds this instruction",
    errno.EINVAL: "the kernel accepts no probe at this instruction, or another tracer uses it with another semaphore",
    errno.EIO: "the kernel could not read the instruction from the executable",
    errno.EOPNOTSUPP: "this kernel cannot probe this instruction",
    errno.ENOSYS: "this kernel has no perf events",
    errno.ENODEV: "this kernel has no uprobes (CONFIG_UPROBE_EVENTS)",
}


class BpfError(FakedirtyError):
    """The compiler or the kernel refused a probe. `errno` is the kernel's; 0: it gave none."""

    def __init__(self, message: str, number: int = 0) -> None:
        super().__init__(message)
        self.errno = number


def refusal(what: str, number: int) -> BpfError:
    """An error that says what the kernel refused, by which errno, and what helps."""
    name = errno.errorcode.get(number, str(number))
    return BpfError(f"{what}: {name}, {_MEANINGS.get(number, os.strerror(number))}", number)


def attach(program: int, path: Path, offset: int, pid: int = EVERY_PROCESS, semaphore: int = 0) -> int:
    """Run a loaded program whenever a process executes an instruction of an executable.

    Args:
        program: the descriptor of a BPF program of the kind kprobe.
        path: the executable, as this process can open it.
        offset: of the instruction in the file, in bytes.
        pid: the process in which the program runs, or EVERY_PROCESS.
        semaphore: the file offset of a USDT semaphore, which the kernel raises meanwhile; 0: none.

    Returns:
        A descriptor. Closing it detaches the program.

    Raises:
        BpfError: the kernel refused the probe; the error has the errno.
    """
    descriptor = open_event(path, offset, pid, semaphore)
    try:
        fcntl.ioctl(descriptor, _SET_BPF, program)
        fcntl.ioctl(descriptor, _ENABLE, 0)
    except OSError as error:
        os.close(descriptor)
        raise refusal(_what(path, offset), error.errno or 0) from error
    return descriptor


@contextmanager
def breakpoint_at(path: Path, offset: int) -> Iterator[None]:
    """Let the kernel put a breakpoint at an offset of an executable, in every process that runs it, with no program.

    Raises:
        BpfError: the kernel refused the probe; the error has the errno.
    """
    descriptor = open_event(path, offset, EVERY_PROCESS)
    try:
        yield
    finally:
        os.close(descriptor)


def open_event(path: Path, offset: int, pid: int, semaphore: int = 0, sources: Path = SOURCES) -> int:
    """Open the event without a program, and return its descriptor. Arguments and errors are those of :func:`attach`."""
    raw = ctypes.create_string_buffer(os.fsencode(path))
    attribute = _ATTRIBUTE.pack(
        _event_type(sources), _ATTRIBUTE.size, semaphore << _SEMAPHORE_SHIFT, ctypes.addressof(raw), offset
    )
    cpu = 0 if pid == EVERY_PROCESS else -1  # the kernel wants a process or a CPU; a uprobe fires on every CPU anyway
    try:
        return libc.perf_event_open(attribute, pid, cpu, _CLOSE_ON_EXEC)
    except OSError as error:
        raise refusal(_what(path, offset), error.errno or 0) from error


def _what(path: Path, offset: int) -> str:
    return f"the kernel refused a probe on {path} at offset {offset:#x}"


def detach(descriptors: Iterable[int]) -> None:
    """Close events. For each one the kernel waits for every CPU, so several are closed at a time."""
    with ThreadPoolExecutor(_CLOSING, thread_name_prefix="detach") as pool:
        list(pool.map(os.close, descriptors))


def _event_type(sources: Path = SOURCES) -> int:
    try:
        return int((sources / "uprobe/type").read_text())
    except (OSError, ValueError) as error:
        raise refusal("the kernel cannot probe executables", errno.ENODEV) from error
