"""What a composition could leave on its host."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

from engines import SHARED, Engine, groups, processes

_BPF = 321  # the number of the system call on x86-64
_PROG_GET_NEXT_ID = 11  # linux/bpf.h


class _Ids(ctypes.Structure):
    _fields_ = (("start", ctypes.c_uint32), ("next", ctypes.c_uint32), ("flags", ctypes.c_uint32))


def bpf_programs() -> set[int]:
    """The ids of all that the kernel has."""
    call = ctypes.CDLL(None, use_errno=True).syscall
    ids = _Ids()
    found: set[int] = set()
    while call(_BPF, _PROG_GET_NEXT_ID, ctypes.byref(ids), ctypes.sizeof(ids)) == 0:
        found.add(ids.next)
        ids.start = ids.next
    assert ctypes.get_errno() == 2, os.strerror(ctypes.get_errno())  # no more of them
    return found


def interfaces() -> set[str]:
    return {path.name for path in Path("/sys/class/net").iterdir()}


def shared() -> set[str]:
    """Files where engines share directories."""
    return {str(path) for top in SHARED for path in [top, *top.rglob("*")] if path.exists()}


def of_engine(it: Engine) -> list[str]:
    """Processes, mounts, control groups and files of an engine that has ended."""
    mounts = [line for line in Path("/proc/self/mounts").read_text().splitlines() if str(it.directory) in line]
    there = [*groups(it.group), *([it.directory] if it.directory.exists() else [])]
    return [*processes(it).values(), *mounts, *map(str, there)]
