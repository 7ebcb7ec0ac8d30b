"""A QEMU that looks for leaks is let end by itself, and any other is killed: by what is mapped into it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from compiler import gcc
from fakedirty.lab.leak_sanitizer import looks_for_leaks


def mapped(environment: dict[str, str]) -> bool:
    """Of a process with an environment of its own."""
    process = subprocess.Popen(
        ["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, **environment}
    )
    with process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(b"\n")
        process.stdin.flush()
        process.stdout.readline()  # all that it needs is loaded
        found = looks_for_leaks(process.pid)
        process.stdin.close()
    return found


def test_a_process_with_and_without_it() -> None:
    [library] = gcc("-print-file-name=liblsan.so").split()
    if not Path(library).is_absolute():  # gcc prints the bare name of a library that it does not have
        pytest.skip("liblsan.so is not installed: it comes with Debian's gcc")
    assert mapped({"LD_PRELOAD": library})
    assert not mapped({})
