"""Finds the process behind a socket that a user named."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path

from fakedirty.errors import QmpError
from fakedirty.linux import sock_diag
from fakedirty.linux.listening import listeners
from fakedirty.linux.network_namespace import in_network_of
from fakedirty.linux.process import Process
from fakedirty.linux.sock_diag import SocketFile

from .client import Qmp
from .turn import TASK_SECONDS


def socket_owner(path: Path, processes: Collection[Process]) -> Process:
    """The one of `processes` that listens at `path`, or that answers there through a proxy.

    Raises:
        QmpError: nobody answers, or the peer is not proven to be one of them.
    """
    if (listening := _listening(path, processes)) is not None:
        return listening
    with Qmp.connect(path, TASK_SECONDS, TASK_SECONDS, life=TASK_SECONDS) as qmp:
        for by_threads in (False, True):  # by threads last, because that costs more
            for process in processes:
                if qmp.leads_to(process, by_threads=by_threads):
                    return process
    raise QmpError(f"{path} answers, but is not shown to lead to any QEMU that runs here and that this user may see")


def _listening(path: Path, processes: Collection[Process]) -> Process | None:
    """By the file that the kernel reports for a socket, without a connection."""
    try:
        status = path.stat()
    except OSError:  # connecting will report the reason
        return None
    wanted = SocketFile(status.st_ino & 0xFFFFFFFF, (os.major(status.st_dev), os.minor(status.st_dev)))
    for process in processes:
        inodes = [each.inode for each in (listeners(process) or {}).values() if each.name]
        try:
            if inodes and wanted in in_network_of(process, partial(_files, inodes)):
                return process
        except OSError:  # its network namespace may not be entered
            continue
    return None


def _files(inodes: Sequence[int]) -> list[SocketFile | None]:
    return [sock_diag.file_of(inode) for inode in inodes]
