"""The command `fakedirty observe` as a process beside a test."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def observe(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """The process, and what it said on its standard error up to being attached, by first word.

    It is killed at the end if it still runs.
    """
    command = [sys.executable, "-m", "fakedirty.cli.main", "observe", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr
        said: dict[str, str] = {}
        while "attached" not in said:
            line = process.stderr.readline()
            assert line, f"it ended: {said}"
            word, _, rest = line.partition(": ")
            said[word] = rest.strip()
        yield process, said
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            assert stream
            stream.close()
