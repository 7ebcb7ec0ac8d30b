"""Whether processes run one file that has several inodes: each mount of a layered file system shows one of its own.

So it is with containers of one image. The kernel goes by the file below, and puts the breakpoint of a probe into every
process that runs it: a probe at each inode would fire once for each in all of them.
"""

from __future__ import annotations

from pathlib import Path

from fakedirty.errors import FakedirtyError
from fakedirty.observe.bpf.process_memory import ProcessMemory
from fakedirty.observe.bpf.uprobe import breakpoint_at

from .elf import Binary
from .target import Target

_BREAKPOINT = b"\xcc"


def inode(path: Path) -> tuple[int, int]:
    """The device and the inode of an executable. Who renames it, or changes its rights, leaves them alone."""
    status = path.stat()
    return status.st_dev, status.st_ino


def is_probed(target: Target, address: int) -> bool:
    """Whether there is a breakpoint at a linked address of a process; not where its memory cannot be read."""
    try:
        with Binary(target.exe) as binary:
            return _has_breakpoint(ProcessMemory(target.proc, target.pid, binary), address)
    except (FakedirtyError, OSError):
        return False


def runs_file_of(target: Target, other: int) -> bool:
    """Whether a process runs the same file as process `other`, by whatever mount.

    A breakpoint is put where that one began, for a moment: it is in the memory of all that run the file.
    """
    executable = target.proc / str(other) / "exe"
    try:
        if executable.stat().st_size != target.exe.stat().st_size:
            return False
        with Binary(target.exe) as binary:
            memory = ProcessMemory(target.proc, target.pid, binary)
            if _has_breakpoint(memory, binary.entry):  # somebody else's
                return False
            with breakpoint_at(executable, binary.offset(binary.entry)):
                return _has_breakpoint(memory, binary.entry)
    except (FakedirtyError, OSError):  # one of them has ended, or may not be looked at
        return False


def _has_breakpoint(memory: ProcessMemory, address: int) -> bool:
    return memory.read(address + memory.bias, len(_BREAKPOINT)) == _BREAKPOINT
