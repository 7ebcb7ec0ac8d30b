"""A guest with a single QMP socket, which is its manager's; tests drive it by HMP, which is another way."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from fakedirty.lab.guests.recipes import build_guest
from fakedirty.lab.guests.serial_report import wait_until_ready
from fakedirty.lab.machine import BARE
from fakedirty.lab.qemu import firmware_arguments
from migrating import WORKLOAD, wait

PROMPT = b"(qemu) "
MANAGER_SECONDS = 5.0  # what a manager waits for an answer


@dataclass
class Sole:
    """A QEMU with one QMP socket; `hmp` is a monitor for people."""

    process: subprocess.Popen[bytes]
    qmp: Path
    link: socket.socket
    directory: Path

    @property
    def pid(self) -> int:
        """QEMU's own."""
        return self.process.pid

    def hmp(self, command: str) -> str:
        """What QEMU prints for a command."""
        self.link.sendall(command.encode() + b"\n")
        return self._printed().decode(errors="replace")

    def _printed(self) -> bytes:
        text = b""
        while not text.endswith(PROMPT):
            text += self.link.recv(65536)
        return text

    def status(self) -> str:
        """Of the migration, by HMP; empty where there was none."""
        found = [line for line in self.hmp("info migrate").splitlines() if "status:" in line.lower()]
        return found[0].split(":", 1)[1].split()[0] if found else ""


@contextmanager
def sole(qemu: Path, directory: Path, name: str, *extra: str, incoming: str = "", ready: bool = True) -> Iterator[Sole]:
    """Started with the guest of known pages, ready unless it waits for a migration."""
    guest = build_guest("baremetal")
    serial, qmp, hmp = (directory / f"{name}.{what}" for what in ("serial", "qmp", "hmp"))
    command = ["setpriv", "--pdeathsig", "KILL", "--", str(qemu), "-name", f"guest={name}", "-accel", "tcg", *BARE]
    command += [*firmware_arguments(), *guest.qemu_arguments(WORKLOAD, serial)]
    command += ["-qmp", f"unix:{qmp},server=on,wait=off", "-monitor", f"unix:{hmp},server=on,wait=off", *extra]
    command += ["-S", "-incoming", incoming] if incoming else []
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as process, socket.socket(socket.AF_UNIX) as link:
        try:
            wait(lambda: link.connect_ex(str(hmp)) == 0)  # its file is there before anybody listens
            vm = Sole(process, qmp, link, directory)
            vm._printed()
            if ready and not incoming:
                wait_until_ready(serial, seconds=guest.guest.ready_seconds, check_alive=lambda: None)
            yield vm
        finally:
            process.kill()


@dataclass
class Manager:
    """Connects again and again, as a manager without a connection of its own does, and counts its failures."""

    qmp: Path
    turns: int = 0
    failures: list[str] = field(default_factory=list)
    longest: float = 0.0

    def _visit(self) -> None:
        began = time.monotonic()
        try:
            with socket.socket(socket.AF_UNIX) as link, link.makefile("rwb") as stream:
                link.settimeout(MANAGER_SECONDS)
                link.connect(str(self.qmp))
                json.loads(stream.readline())
                for command in ("qmp_capabilities", "query-status"):
                    stream.write(json.dumps({"execute": command}).encode())
                    stream.flush()
                    json.loads(stream.readline())
            self.turns += 1
        except (OSError, ValueError) as error:
            self.failures.append(repr(error))
        self.longest = max(self.longest, time.monotonic() - began)

    def run(self, stop: threading.Event) -> None:
        """Until it is told to stop."""
        while not stop.is_set():
            self._visit()
            stop.wait(0.01)


@contextmanager
def managed(qmp: Path) -> Iterator[Manager]:
    """A manager at work beside the block."""
    manager, stop = Manager(qmp), threading.Event()
    thread = threading.Thread(target=manager.run, args=(stop,))
    thread.start()
    try:
        yield manager
    finally:
        stop.set()
        thread.join()
        print(f"manager: {manager.turns} turns, {manager.failures} failed, the longest took {manager.longest:.2f} s")


@contextmanager
def manager_that_stays(qmp: Path) -> Iterator[None]:
    """A manager with a connection, for as long as the block."""
    with socket.socket(socket.AF_UNIX) as link, suppress(OSError):
        link.settimeout(MANAGER_SECONDS)
        link.connect(str(qmp))
        assert link.recv(65536)
        yield
