"""The QEMU processes of this host, by ``/proc``."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fakedirty.errors import TargetError
from fakedirty.linux.process import Process, start_ticks
from fakedirty.qmp.address import Address, Unreachable

from . import command_line, emulator
from .monitors import monitors

PROC = Path("/proc")
YOUNG_SECONDS = 10.0  # from the start of a process, in which it is checked at each search
TURNS = 20  # searches in which each older process is checked once

_NAMES = ("qemu-system-", "qemu-kvm")  # these decide if only the command line of a process may be read


@dataclass(frozen=True, slots=True)
class Target:
    """One running QEMU.

    Attributes:
        pid: its process id.
        vm: the name of its VM.
        exe: a path that opens its executable, even if the file was deleted or replaced.
        program: the path of the executable, for messages.
        start_ticks: when it was started, in clock ticks since boot.
        monitors: its control monitors, the best first. A QEMU of libvirt's is reached through libvirt.
        proc: where ``/proc`` is.
        incoming: it was started to wait for a migration.
        uuid: the UUID of its guest (-uuid); empty: it has none.
        file: device and inode of its executable, as a process may replace itself by another one.
    """

    pid: int
    vm: str
    exe: Path
    program: str
    start_ticks: int
    monitors: tuple[Address, ...]
    proc: Path = PROC
    incoming: bool = False
    uuid: str = ""
    file: tuple[int, int] = (0, 0)

    @property
    def identity(self) -> tuple[int, int]:
        """Process id and start time: ids are reused."""
        return self.pid, self.start_ticks

    @property
    def process(self) -> Process:
        """Its process."""
        return Process(self.pid, self.start_ticks, self.proc)

    @property
    def has_monitor(self) -> bool:
        """Whether a client can connect to any of its monitors."""
        return any(not isinstance(address.place, Unreachable) for address in self.monitors)

    def at(self, socket: Path) -> Address:
        """The address of a socket that the user named as its monitor."""
        return Address(socket, self.process)

    @property
    def runs(self) -> bool:
        """Whether a process with its id runs, which is most often itself.

        A process that is ending still has an entry, but no memory any more, and therefore no command line.
        """
        try:
            return bool((self.proc / str(self.pid) / "cmdline").read_bytes())
        except OSError:
            return False


class Finder:
    """Finds all QEMUs of this host repeatedly, at little cost. Only one thread may use it.

    A young process is checked at each search, as it may be replaced by QEMU. An older one may be replaced, too, or its
    id may be reused. So each older process is checked once in :data:`TURNS` searches.
    """

    def __init__(self, proc: Path = PROC, clock: Callable[[], float] = time.monotonic) -> None:
        self._proc = proc
        self._clock = clock
        self._known: dict[str, _KnownProcess] = {}
        self._young: dict[str, _KnownProcess] = {}
        self._waiting: list[_KnownProcess] = []  # older ones that are still to be checked in these TURNS searches
        self._turn_size = 0

    def find(self) -> list[Target]:
        """All QEMU system emulators that run, by process id."""
        now = self._clock()
        entries = {entry for entry in os.listdir(self._proc) if entry.isdecimal()}
        for entry in self._known.keys() - entries:
            del self._known[entry]
        for entry in sorted(entries - self._known.keys(), key=int):  # a parent before its children
            self._known[entry] = self._young[entry] = _KnownProcess(entry, now + YOUNG_SECONDS)
        self._young = {
            entry: known for entry, known in self._young.items() if now < known.young_until and entry in entries
        }
        if not self._waiting:
            self._waiting = list(self._known.values())
            self._turn_size = -(-len(self._waiting) // TURNS)
        old, self._waiting = self._waiting[: self._turn_size], self._waiting[self._turn_size :]
        for known in (*self._young.values(), *(each for each in old if each.entry in entries)):
            self._check(known)
        found = [known.target for known in self._known.values() if known.target is not None]
        return sorted(found, key=lambda target: target.pid)

    def _check(self, known: _KnownProcess) -> None:
        directory = f"{self._proc}/{known.entry}"
        executable = emulator.key(f"{directory}/exe")
        same = executable is not None and executable == known.executable and not known.pending
        if same and (known.target is None or known.target.process.runs):
            return
        known.executable = executable
        target = _examine(int(known.entry), self._proc)
        known.target = None if target is None or self._is_copy(target) else target
        # a QEMU that has just replaced another program may have no command line yet
        known.pending = known.target is None and executable is not None and emulator.is_known(executable)

    def _is_copy(self, target: Target) -> bool:
        """Whether it is a forked child of a QEMU with the same command line: it runs no VM of its own."""
        parent = self._known.get(str(target.process.parent))
        qemu = parent.target if parent else None
        return qemu is not None and qemu.process.arguments() == target.process.arguments()


@dataclass(slots=True)
class _KnownProcess:
    """What is known of a process id. `pending`: it is a QEMU that does not run a VM, or not yet."""

    entry: str
    young_until: float
    executable: emulator.Key | None = None
    target: Target | None = None
    pending: bool = False


def find_all(proc: Path = PROC) -> list[Target]:
    """All QEMU system emulators that run, by process id."""
    return Finder(proc).find()


def by_pid(pid: int, proc: Path = PROC) -> Target:
    """The QEMU with a process id. Raises TargetError if there is none."""
    if not (proc / str(pid)).is_dir():
        raise TargetError(f"there is no process {pid}")
    found = _examine(pid, proc)
    if found is None:
        raise TargetError(f"process {pid} is not a QEMU system emulator (or only root can see that it is)")
    return found


def _examine(pid: int, proc: Path) -> Target | None:
    """The QEMU of a process id; None if the process is none, has ended, or only prints something."""
    directory = proc / str(pid)
    try:
        ticks = start_ticks((directory / "stat").read_text(errors="replace"))
    except OSError:  # it has just ended
        return None
    process = Process(pid, ticks, proc)
    if not _runs_emulator(process):
        return None
    line = command_line.read(process)
    if not line.words or line.only_prints:
        return None
    return Target(
        pid=pid,
        vm=line.vm or f"pid-{pid}",
        exe=directory / "exe",
        program=_program(directory, line),
        start_ticks=ticks,
        monitors=monitors(line, process),
        proc=proc,
        incoming=line.incoming,
        uuid=process.uuid or "",
        file=(emulator.key(directory / "exe") or emulator.NOTHING)[:2],
    )


def _runs_emulator(process: Process) -> bool:
    path = process.directory / "exe"
    if (known_by := emulator.key(path)) is not None:
        return emulator.is_emulator(path, known_by)
    # The process is another user's. The file by which it was started may be readable nevertheless.
    words = process.arguments()
    started = shutil.which(words[0]) if words else None
    if started is not None and (known_by := emulator.key(started)) is not None:
        return emulator.is_emulator(started, known_by)
    return bool(words) and Path(words[0]).name.startswith(_NAMES)


def _program(directory: Path, line: command_line.CommandLine) -> str:
    try:
        return os.readlink(directory / "exe").removesuffix(" (deleted)")
    except OSError:  # another user's process
        return line.words[0]
