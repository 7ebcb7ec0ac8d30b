"""A QEMU with LeakSanitizer: it reports its leaks if it ends by itself, and not if it is killed."""

from __future__ import annotations

import subprocess
from contextlib import suppress
from pathlib import Path

from fakedirty.errors import LabError, QmpError
from fakedirty.qmp.client import Qmp

LIBRARIES = ("libasan.so", "liblsan.so")  # AddressSanitizer includes LeakSanitizer
END_SECONDS = 120.0  # with a stack for each leak, on a loaded machine


def looks_for_leaks(pid: int, proc: Path = Path("/proc")) -> bool:
    """Whether process `pid` has LeakSanitizer in it."""
    maps = (proc / str(pid) / "maps").read_text()
    return any(library in maps for library in LIBRARIES)


def let_end(process: subprocess.Popen[bytes], qmp: Qmp) -> None:
    """Let a QEMU quit, and wait until it has ended.

    Raises:
        LabError: it has not ended after END_SECONDS.
    """
    with suppress(QmpError):  # it may be gone before it has answered
        qmp.execute("quit")
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        raise LabError(f"QEMU did not end within {END_SECONDS:.0f} s after the command quit") from None
