"""Which process is behind a socket that somebody named."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path

from fakedirty.errors import QmpError
from fakedirty.linux import sock_diag
from fakedirty.linux.listening import listeners
from fakedirty.linux.network_namespace import within
from fakedirty.linux.process import Process
from fakedirty.linux.sock_diag import SocketFile

from .client import Qmp
from .turn import TASK_SECONDS


def serving(path: Path, processes: Collection[Process]) -> Process:
    """The one of `processes` that listens at `path`, or that answers there through somebody else.

    Raises QmpError where nobody answers, or where who answers is not shown to be one of them.
    """
    if (listening := _listening(path, processes)) is not None:
        return listening
    with Qmp.connect(path, TASK_SECONDS, TASK_SECONDS, life=TASK_SECONDS) as qmp:
        for by_threads in (False, True):  # that costs more
            for process in processes:
                if qmp.leads_to(process, by_threads=by_threads):
                    return process
    raise QmpError(f"{path} answers, but is not shown to lead to any QEMU that runs here and that this user may see")


def _listening(path: Path, processes: Collection[Process]) -> Process | None:
    """By the file that the kernel has for a socket: nobody is disturbed."""
    try:
        status = path.stat()
    except OSError:  # whoever connects says why
        return None
    wanted = SocketFile(status.st_ino & 0xFFFFFFFF, (os.major(status.st_dev), os.minor(status.st_dev)))
    for process in processes:
        inodes = [each.inode for each in (listeners(process) or {}).values() if each.name]
        try:
            if inodes and wanted in within(process, partial(_files, inodes)):
                return process
        except OSError:  # it is in a network namespace that may not be entered
            continue
    return None


def _files(inodes: Sequence[int]) -> list[SocketFile | None]:
    return [sock_diag.file_of(inode) for inode in inodes]
