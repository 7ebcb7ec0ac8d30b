"""The way to a QMP socket: a connection, or what stands in its way."""

from __future__ import annotations

import socket
import time
from pathlib import Path

from fakedirty.errors import QmpError

from .holder import describe_holder

RETRY_SECONDS = 0.05


def reach(path: Path, deadline: float) -> socket.socket:
    """A socket connected to `path` before `deadline`. QEMU's queue of clients is short: a full one means busy."""
    while True:
        link = socket.socket(socket.AF_UNIX)
        try:
            link.setblocking(False)  # of a Unix socket, connect() is done or refused at once
            link.connect(str(path))
        except OSError as error:
            link.close()
            if not isinstance(error, BlockingIOError):
                raise QmpError(_unreachable(path, error)) from error
            if time.monotonic() > deadline:
                raise QmpError(f"{path} is busy. {describe_holder(path)}") from error
            time.sleep(RETRY_SECONDS)
        else:
            return link


def _unreachable(path: Path, error: OSError) -> str:
    match error:
        case FileNotFoundError():
            return f"there is no socket {path}: start QEMU with -qmp unix:{path},server=on,wait=off"
        case ConnectionRefusedError():
            return f"nobody listens at {path}: it is left over from a QEMU that has ended"
        case PermissionError():
            return f"no permission to connect to {path}: run as root or as the user that runs QEMU"
        case _:
            return f"cannot connect to {path}: {error.strerror or error}"
