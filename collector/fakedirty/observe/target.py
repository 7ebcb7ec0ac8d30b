"""The QEMU processes of this host, as ``/proc`` shows them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from fakedirty.errors import TargetError
from fakedirty.qmp.place import Address
from fakedirty.qmp.process import Process, start_ticks

from . import command_line
from .monitors import monitors

PROC = Path("/proc")
_NAMES = ("qemu-system-", "qemu-kvm")


@dataclass(frozen=True, slots=True)
class Target:
    """One running QEMU. `exe` opens the executable even when its file was deleted or replaced.

    `monitors` are its control monitors, the best first: a QEMU of libvirt's is reached through libvirt.
    """

    pid: int
    vm: str
    exe: Path
    program: str
    start_ticks: int
    monitors: tuple[Address, ...]
    proc: Path = PROC
    incoming: bool = False  # it was started to wait for a migration

    @property
    def identity(self) -> tuple[int, int]:
        """Process id and start time, as ids are used again."""
        return self.pid, self.start_ticks

    @property
    def process(self) -> Process:
        """The process that it is."""
        return Process(self.pid, self.start_ticks, self.proc)

    def at(self, socket: Path) -> Address:
        """A socket that somebody named as one of its monitors."""
        return Address(socket, self.process)

    @property
    def runs(self) -> bool:
        """Whether it has not ended, to the best of our knowledge: its id may be another's by now.

        A process that is ending has no memory any more, and so no command line, while it still has an entry.
        """
        try:
            return bool((self.proc / str(self.pid) / "cmdline").read_bytes())
        except OSError:
            return False


def find_all(proc: Path = PROC) -> list[Target]:
    """All QEMU system emulators that run, by process id."""
    pids = sorted(int(entry.name) for entry in proc.iterdir() if entry.name.isdigit())
    found = [target for pid in pids if (target := _examine(pid, proc)) is not None]
    return [target for target in found if Path(target.program).name.startswith(_NAMES)]


def by_pid(pid: int, proc: Path = PROC) -> Target:
    """The QEMU with a process id, whatever it is called as long as that says QEMU; TargetError otherwise."""
    if not (proc / str(pid)).is_dir():
        raise TargetError(f"there is no process {pid}")
    found = _examine(pid, proc)
    if found is None or "qemu" not in Path(found.program).name:
        raise TargetError(f"process {pid} is not a QEMU system emulator (or not visible without root)")
    return found


def _examine(pid: int, proc: Path) -> Target | None:
    directory = proc / str(pid)
    try:
        ticks = start_ticks((directory / "stat").read_text())
    except OSError:  # it has just ended
        return None
    process = Process(pid, ticks, proc)
    line = command_line.read(process)
    return Target(
        pid=pid,
        vm=line.vm or f"pid-{pid}",
        exe=directory / "exe",
        program=_program(directory, line),
        start_ticks=ticks,
        monitors=monitors(line, process),
        proc=proc,
        incoming=line.incoming,
    )


def _program(directory: Path, line: command_line.CommandLine) -> str:
    try:
        return os.readlink(directory / "exe").removesuffix(" (deleted)")
    except OSError:  # a kernel thread, or another user's process
        return line.words[0] if line.words else ""
