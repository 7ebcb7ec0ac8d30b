"""QEMU's migration thread on the source, as /proc shows it."""

from __future__ import annotations

from pathlib import Path

NAME = "mig/src/main"
SENDMSG = 46  # the system call, on x86-64


def waits_to_send(pid: int) -> bool:
    """Whether the thread sleeps in a write to its channel: then the channel is full."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        if NAME in (thread / "comm").read_text():
            return (thread / "syscall").read_text().startswith(f"{SENDMSG} ")
    return False
