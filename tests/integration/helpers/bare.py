"""QEMUs without a guest, whose control monitors are wherever a test wants them.

Each has a human monitor too, by which the test sees and sets things; it is none of the control monitors.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from fakedirty.lab.qemu import firmware_arguments, qemu_binary
from listener import listening
from migrating import wait

NO_MACHINE = ("-machine", "none", "-S")
WITH_CPU = ("-machine", "pc", "-m", "16", "-S", *firmware_arguments())
PROMPT = b"(qemu) "


@dataclass
class Bare:
    """A QEMU that runs as process `pid`; `human` is a connection to its human monitor."""

    pid: int
    name: str
    human: socket.socket

    def said(self, command: str) -> str:
        """What the human monitor answers."""
        self.human.sendall(command.encode() + b"\n")
        return self.listen()

    def listen(self) -> str:
        text = b""
        while not text.endswith(PROMPT):
            part = self.human.recv(65536)
            assert part, "QEMU has ended"
            text += part
        return text.decode()

    @property
    def mode(self) -> str:
        found = re.search(r"fake-dirty-mode: '?(\w+)", self.said("info migrate_parameters"))
        assert found
        return found[1]


@contextmanager
def bare(
    directory: Path,
    name: str,
    *words: str,
    prefix: Sequence[str] = (),
    machine: Sequence[str] = NO_MACHINE,
    qemu: Path | None = None,
    cwd: Path | None = None,
    pass_fds: Sequence[int] = (),
) -> Iterator[Bare]:
    """Started by `prefix`, which replaces itself by QEMU or waits for it; gone at the end, however it was started."""
    home = directory / f"of-{name}"
    home.mkdir()
    human, pid_file = home / "human", home / "pid"
    command = [*prefix, str(qemu or qemu_binary()), "-name", f"guest={name},debug-threads=on", "-nodefaults"]
    command += ["-display", "none", *machine, "-pidfile", str(pid_file)]
    command += ["-monitor", f"unix:{human},server=on,wait=off", *words]
    environment = {**os.environ, "PWD": str(cwd or Path.cwd())}
    with (home / "stderr").open("wb") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=cwd, env=environment, pass_fds=pass_fds
        )
    pid = 0
    try:
        daemon = "-daemonize" in words

        def there() -> bool:
            assert daemon or process.poll() is None, (home / "stderr").read_text()
            return pid_file.exists() and pid_file.read_text().endswith("\n")

        wait(there)
        pid = outside(int(pid_file.read_text()), process.pid)
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(60)
            wait(lambda: link.connect_ex(str(human)) == 0)  # its file is there before anybody listens
            it = Bare(pid, name, link)
            it.listen()
            yield it
    finally:
        if pid:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if process.poll() is None:
            process.kill()
        process.wait()


def by_itself(pid: int) -> list[int]:
    """The processes that a process has started."""
    found = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        found += [int(child) for child in children.read_text().split()]
    return found


def outside(inner: int, started: int) -> int:
    """The id here of a process that has the id `inner` in a pid namespace of its own, as a child of `started`."""
    for pid in by_itself(started):
        if f"\t{pid}\t{inner}\n" in Path(f"/proc/{pid}/status").read_text():
            return pid
    return inner


@contextmanager
def proxy(at: Path, to: Path) -> Iterator[None]:
    """Takes one client after the other at a path, and passes everything on, both ways, as a process of its own."""
    code = (
        "import socket, sys, threading\n"
        "def pump(a, b):\n"
        "    while data := a.recv(65536): b.sendall(data)\n"
        "    b.shutdown(socket.SHUT_RDWR)\n"
        "with socket.socket(socket.AF_UNIX) as listener:\n"
        "    listener.bind(sys.argv[1]); listener.listen()\n"
        "    while True:\n"
        "        client, _ = listener.accept()\n"
        "        server = socket.socket(socket.AF_UNIX); server.connect(sys.argv[2])\n"
        "        way = threading.Thread(target=pump, args=(server, client), daemon=True); way.start()\n"
        "        try: pump(client, server)\n"
        "        except OSError: pass\n"
        "        way.join(5); client.close(); server.close()\n"
    )
    process = subprocess.Popen(["/usr/bin/python3", "-c", code, str(at), str(to)], stderr=subprocess.DEVNULL)
    try:
        wait(at.exists)
        yield
    finally:
        process.kill()
        process.wait()


@dataclass
class Counting:
    """A listener that counts who comes, and never speaks."""

    connections: int = 0


@contextmanager
def counting(path: Path) -> Iterator[Counting]:
    """As a manager waits for its QEMUs."""
    it = Counting()
    links: list[socket.socket] = []

    def take(link: socket.socket) -> None:
        links.append(link)
        it.connections += 1

    with listening(path, take):
        yield it
    for link in links:
        link.close()
