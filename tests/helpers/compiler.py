"""gcc for tests. Where it is missing, or what a test includes is, the test is skipped and says what to install."""

from __future__ import annotations

import platform
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

PACKAGES = {"stdio.h": "gcc libc6-dev", "sys/sdt.h": "systemtap-sdt-dev"}


@cache
def _lacking(header: str) -> str:
    """Why nothing that includes `header` can be compiled here; empty if it can."""
    if shutil.which("gcc") is None:
        return "gcc is not installed: apt-get install gcc libc6-dev"
    command = ["gcc", "-x", "c", "-fsyntax-only", "-"]
    tried = subprocess.run(command, input=f"#include <{header}>\n", text=True, capture_output=True, check=False)
    return f"<{header}> is not installed: apt-get install {PACKAGES[header]}" if tried.returncode else ""


def require_gcc(header: str = "stdio.h") -> None:
    """Skip the test that runs where nothing that includes `header` can be compiled."""
    if reason := _lacking(header):
        pytest.skip(reason)


def gcc(*words: str | Path, header: str = "stdio.h", x86: bool = False) -> str:
    """What gcc prints when it is called with `words`. It has to succeed.

    Args:
        header: what the source includes beside its own files.
        x86: whether the source has instructions of x86-64.
    """
    if x86 and platform.machine() != "x86_64":
        pytest.skip(f"instructions of x86-64, on {platform.machine()}")
    require_gcc(header)
    return subprocess.run(["gcc", *words], check=True, stdout=subprocess.PIPE, text=True).stdout
