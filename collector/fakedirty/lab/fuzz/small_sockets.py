"""Sockets that buffer less than the state of the devices, so that a source waits until the destination reads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from fakedirty.lab.network import End

#: Devices with 128 KiB of registers each. Their own memory is not migrated as pages.
LARGE_DEVICE_STATE = tuple(word for _ in range(4) for word in ("-device", "e1000e,romfile="))

BUFFER_BYTES = 16384  # of each socket
SETTINGS = tuple(f"/proc/sys/net/ipv4/{name}" for name in ("tcp_wmem", "tcp_rmem"))


@contextmanager
def small_buffers(*ends: End) -> Iterator[None]:
    """In the ``with`` block, new connections at these ends buffer no more than BUFFER_BYTES."""
    with ExitStack() as stack:
        for end in ends:
            for setting in SETTINGS:
                stack.callback(_set, end, setting, end.run("cat", setting).strip())
                _set(end, setting, f"4096 {BUFFER_BYTES} {BUFFER_BYTES}")
        yield


def _set(end: End, setting: str, sizes: str) -> None:
    end.run("sh", "-c", f"echo {sizes} >{setting}")
