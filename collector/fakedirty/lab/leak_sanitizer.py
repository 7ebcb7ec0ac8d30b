"""A QEMU with LeakSanitizer: it reports what it has leaked where it ends by itself, and not where it is killed."""

from __future__ import annotations

import subprocess
from contextlib import suppress
from pathlib import Path

from fakedirty.errors import LabError, QmpError
from fakedirty.qmp.client import Qmp

LIBRARIES = ("libasan.so", "liblsan.so")  # AddressSanitizer has LeakSanitizer in it
END_SECONDS = 120.0  # with a stack for each leak, on a loaded machine


def looks_for_leaks(pid: int, proc: Path = Path("/proc")) -> bool:
    """Whether LeakSanitizer is in process `pid`."""
    maps = (proc / str(pid) / "maps").read_text()
    return any(library in maps for library in LIBRARIES)


def let_end(process: subprocess.Popen[bytes], qmp: Qmp) -> None:
    """Make a QEMU quit, and wait until it has ended. LabError where it does not."""
    with suppress(QmpError):  # it may be gone before it has answered
        qmp.execute("quit")
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        raise LabError(f"QEMU did not end within {END_SECONDS:.0f} s after it was told to quit") from None
