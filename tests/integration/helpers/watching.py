"""``fakedirty watch`` beside a test: in a terminal of its own, of 80 columns, and in a pipe."""

from __future__ import annotations

import fcntl
import os
import re
import struct
import subprocess
import termios
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from serving import fakedirty

LINES, COLUMNS = 40, 80
FRAME = "\x1b[H"  # the cursor goes home, and the screen is written anew
LEFT = "\x1b[?1049l"  # the terminal's own screen again
CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass
class Screen:
    """What a process writes on its terminal."""

    process: subprocess.Popen[bytes]
    _heard: list[bytes] = field(default_factory=list)

    @property
    def written(self) -> str:
        return b"".join(self._heard).decode(errors="ignore")

    @property
    def frames(self) -> list[list[str]]:
        """Each state of the screen, without colours, of which the last may not be whole yet."""
        frames = self.written.partition(LEFT)[0].split(FRAME)[1:]
        return [[line.rstrip() for line in CODES.sub("", frame).split("\r\n")] for frame in frames]

    @property
    def shown(self) -> str:
        """The last state of the screen that is whole."""
        return "\n".join(self.frames[-2]) if len(self.frames) > 1 else ""

    @property
    def left_behind(self) -> str:
        """What stays when it has ended."""
        return CODES.sub("", self.written.partition(LEFT)[2])

    def listen(self, terminal: int) -> None:
        with suppress(OSError):  # so does a terminal end
            while heard := os.read(terminal, 1 << 16):
                self._heard.append(heard)


@contextmanager
def watching(*arguments: str, environment: Mapping[str, str] = os.environ) -> Iterator[Screen]:
    """The command, which is ended at the end."""
    ours, its = os.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    command = fakedirty("watch", "--every", "0.1", *arguments)
    own = {name: value for name, value in environment.items() if name not in ("LINES", "COLUMNS")}
    process = subprocess.Popen(command, stdin=its, stdout=its, stderr=its, env={**own, "TERM": "xterm-256color"})
    os.close(its)
    screen = Screen(process)
    listening = threading.Thread(target=screen.listen, args=(ours,))
    listening.start()
    try:
        yield screen
    finally:
        process.terminate()
        process.wait(timeout=60)
        listening.join()
        os.close(ours)


@contextmanager
def piping(file: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """The command, which writes into a file, and is ended at the end."""
    with file.open("wb") as pipe, subprocess.Popen(fakedirty("watch", *arguments), stdout=pipe) as process:
        try:
            yield process
        finally:
            process.terminate()
