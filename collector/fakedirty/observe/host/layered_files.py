"""Whether processes run one file that has several inodes: each mount of a layered file system has its own.

Containers of one image are such processes. The kernel puts the breakpoint of a probe into the file below the layers,
and so into every process that runs it. With a probe at each inode, each process would fire all of them.
"""

from __future__ import annotations

from pathlib import Path

from fakedirty.errors import FakedirtyError
from fakedirty.linux.process_memory import ProcessMemory
from fakedirty.linux.uprobe import breakpoint_at

from .elf import Binary
from .target import Target

_BREAKPOINT = b"\xcc"


def inode(path: Path) -> tuple[int, int]:
    """The device and the inode of an executable, which stay when it is renamed or its rights are changed."""
    status = path.stat()
    return status.st_dev, status.st_ino


def is_probed(target: Target, address: int) -> bool:
    """Whether a process has a breakpoint at a linked address. False if its memory cannot be read."""
    try:
        with Binary(target.exe) as binary:
            return _has_breakpoint(ProcessMemory(target.proc, target.pid, binary), address)
    except (FakedirtyError, OSError):
        return False


def runs_file_of(target: Target, other: int) -> bool:
    """Whether a process runs the same file as process `other`, maybe by another mount.

    To find out, a breakpoint is put at the entry of the other's executable for a moment. It is then in the memory of
    every process that runs the file. No process comes to its entry again.
    """
    executable = target.proc / str(other) / "exe"
    try:
        if executable.stat().st_size != target.exe.stat().st_size:
            return False
        with Binary(target.exe) as binary:
            memory = ProcessMemory(target.proc, target.pid, binary)
            if _has_breakpoint(memory, binary.entry):  # of another tracer
                return False
            with breakpoint_at(executable, binary.offset(binary.entry)):
                return _has_breakpoint(memory, binary.entry)
    except (FakedirtyError, OSError):  # one of them has ended, or may not be read
        return False


def _has_breakpoint(memory: ProcessMemory, address: int) -> bool:
    return memory.read(address + memory.bias, len(_BREAKPOINT)) == _BREAKPOINT
