"""A BPF program on an instruction of an executable: a perf event of the kind uprobe, opened and closed by us.

The event belongs to this process: whatever ends it also detaches the program and lowers the semaphore. libbcc can
attach too, but reports no errno, and falls back to tracefs, where a probe has no semaphore and outlives its process.
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

#: `pid` of an event that fires in every process that runs the executable
EVERY_PROCESS = -1

_PERF_EVENT_OPEN = 298  # x86-64
_ATTRIBUTE = struct.Struct("<IIQ40xQQ64x")  # struct perf_event_attr: type, size, config, uprobe_path, probe_offset
_SEMAPHORE_SHIFT = 32  # of config: the file offset of the semaphore (format/ref_ctr_offset)
_CLOSE_ON_EXEC = 8
_CLOSING = 16  # at a time
_ENABLE, _SET_BPF = 0x2400, 0x40042408  # PERF_EVENT_IOC_*
SOURCES = Path("/sys/bus/event_source/devices")

#: what the kernel means by an errno of attaching, and what helps
_MEANINGS = {
    errno.EMFILE: "this process has no file descriptor left: raise its limit (LimitNOFILE= of a unit, ulimit -n)",
    errno.ENFILE: "the host has no file descriptor left (sysctl fs.file-max)",
    errno.ENOMEM: "the kernel has no memory for it, or may lock none for this process (LimitMEMLOCK=, ulimit -l)",
    errno.EPERM: "this process may not: CAP_PERFMON or CAP_SYS_ADMIN is missing, or a policy of the host forbids it "
    "(lockdown, seccomp, kernel.perf_event_paranoid)",
    errno.EACCES: "this process may not: CAP_PERFMON is missing (kernel.perf_event_paranoid)",
    errno.ENOENT: "the executable is gone, or is none that the kernel can probe",
    errno.ESRCH: "the process has ended",
    errno.E2BIG: "too many programs are attached to this instruction already: end another tracer",
    errno.EBUSY: "another tracer holds this instruction",
    errno.EINVAL: "the kernel takes no probe at this instruction, or another tracer uses it with another semaphore",
    errno.EIO: "the instruction could not be read from the executable",
    errno.EOPNOTSUPP: "this kernel cannot probe this instruction",
    errno.ENOSYS: "this kernel has no perf events",
    errno.ENODEV: "this kernel has no uprobes (CONFIG_UPROBE_EVENTS)",
}

_libc = ctypes.CDLL(None, use_errno=True)


class BpfError(FakedirtyError):
    """The kernel, or the compiler before it, refused a probe. `errno` is the kernel's, 0 where it gave none."""

    def __init__(self, message: str, number: int = 0) -> None:
        super().__init__(message)
        self.errno = number


def refusal(what: str, number: int) -> BpfError:
    """The error of something that the kernel refused with an errno."""
    name = errno.errorcode.get(number, str(number))
    return BpfError(f"{what}: {name}, {_MEANINGS.get(number, os.strerror(number))}", number)


def attach(program: int, path: Path, offset: int, pid: int = EVERY_PROCESS, semaphore: int = 0) -> int:
    """Run a loaded program where an executable is executed at an offset; closing the returned descriptor detaches it.

    Args:
        program: the descriptor of a BPF program of the kind kprobe.
        path: the executable, as this process can open it.
        offset: of the instruction in the file, in bytes.
        pid: the process in which the program runs, or EVERY_PROCESS.
        semaphore: the file offset of a USDT semaphore, which the kernel holds raised meanwhile; 0: none.

    Raises:
        BpfError: the kernel refused, with its errno.
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
    """The kernel's breakpoint at an offset of an executable, in every process that runs it, and no program behind it.

    Raises:
        BpfError: the kernel refused, with its errno.
    """
    descriptor = open_event(path, offset, EVERY_PROCESS)
    try:
        yield
    finally:
        os.close(descriptor)


def open_event(path: Path, offset: int, pid: int, semaphore: int = 0, sources: Path = SOURCES) -> int:
    """The event alone, with no program behind it: its descriptor. Arguments and errors are those of :func:`attach`."""
    raw = ctypes.create_string_buffer(os.fsencode(path))
    attribute = _ATTRIBUTE.pack(
        _event_type(sources), _ATTRIBUTE.size, semaphore << _SEMAPHORE_SHIFT, ctypes.addressof(raw), offset
    )
    cpu = 0 if pid == EVERY_PROCESS else -1  # one of them must be named; a uprobe fires on every CPU all the same
    descriptor: int = _libc.syscall(_PERF_EVENT_OPEN, attribute, pid, cpu, -1, _CLOSE_ON_EXEC)
    if descriptor < 0:
        raise refusal(_what(path, offset), ctypes.get_errno())
    return descriptor


def _what(path: Path, offset: int) -> str:
    return f"the kernel refused a probe on {path} at offset {offset:#x}"


def detach(descriptors: Iterable[int]) -> None:
    """Close events. The kernel waits for every CPU at each of them, so that many are closed at a time."""
    with ThreadPoolExecutor(_CLOSING, thread_name_prefix="detach") as pool:
        list(pool.map(os.close, descriptors))


def _event_type(sources: Path = SOURCES) -> int:
    try:
        return int((sources / "uprobe/type").read_text())
    except (OSError, ValueError) as error:
        raise refusal("the kernel has no probes for executables", errno.ENODEV) from error
