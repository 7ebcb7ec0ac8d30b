"""The QEMU processes of this host, as ``/proc`` shows them."""

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
YOUNG_SECONDS = 10.0  # for which a process is looked at each time
TURNS = 20

_NAMES = ("qemu-system-", "qemu-kvm")  # where nothing but the command line may be read


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
    uuid: str = ""  # of its guest (-uuid); empty without one
    file: tuple[int, int] = (0, 0)  # device and inode of `exe`: a process may start another one in its own place

    @property
    def identity(self) -> tuple[int, int]:
        """Process id and start time, as ids are used again."""
        return self.pid, self.start_ticks

    @property
    def process(self) -> Process:
        """The process that it is."""
        return Process(self.pid, self.start_ticks, self.proc)

    @property
    def has_monitor(self) -> bool:
        """Whether any of its monitors is one that a client can come to."""
        return any(not isinstance(address.place, Unreachable) for address in self.monitors)

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


class Finder:
    """Finds QEMUs again and again, and looks at little but what is new.

    A process that has just come may be one that starts QEMU in its place: it is looked at each time. Others, and those
    whose id might be another's by now, are looked at in turn, all of them in :data:`TURNS` times. For one thread.
    """

    def __init__(self, proc: Path = PROC, clock: Callable[[], float] = time.monotonic) -> None:
        self._proc = proc
        self._clock = clock
        self._seen: dict[str, _Seen] = {}
        self._young: dict[str, _Seen] = {}
        self._turns: list[_Seen] = []  # those whose turn is yet to come
        self._a_turn = 0

    def find(self) -> list[Target]:
        """All QEMU system emulators that run, by process id."""
        now = self._clock()
        entries = {entry for entry in os.listdir(self._proc) if entry.isdecimal()}
        for entry in self._seen.keys() - entries:
            del self._seen[entry]
        for entry in sorted(entries - self._seen.keys(), key=int):  # a parent before its children
            self._seen[entry] = self._young[entry] = _Seen(entry, now + YOUNG_SECONDS)
        self._young = {
            entry: seen for entry, seen in self._young.items() if now < seen.young_until and entry in entries
        }
        if not self._turns:
            self._turns = list(self._seen.values())
            self._a_turn = -(-len(self._turns) // TURNS)
        old, self._turns = self._turns[: self._a_turn], self._turns[self._a_turn :]
        for seen in (*self._young.values(), *(each for each in old if each.entry in entries)):
            self._look(seen)
        found = [seen.target for seen in self._seen.values() if seen.target is not None]
        return sorted(found, key=lambda target: target.pid)

    def _look(self, seen: _Seen) -> None:
        directory = f"{self._proc}/{seen.entry}"
        executable = emulator.key(f"{directory}/exe")
        same = executable is not None and executable == seen.executable and not seen.pending
        if same and (seen.target is None or seen.target.process.runs):
            return
        seen.executable = executable
        target = _examine(int(seen.entry), self._proc)
        seen.target = None if target is None or self._is_copy(target) else target
        # a QEMU that has just started in the place of another program may have no command line yet
        seen.pending = seen.target is None and executable is not None and emulator.is_known(executable)

    def _is_copy(self, target: Target) -> bool:
        """Whether it is a child of a QEMU that is nothing of its own: not yet, or to tear memory down."""
        parent = self._seen.get(str(target.process.parent))
        of = parent.target if parent else None
        return of is not None and of.process.arguments() == target.process.arguments()


@dataclass(slots=True)
class _Seen:
    """What is known of a process id; `pending` is a QEMU that runs no VM, or not yet."""

    entry: str
    young_until: float
    executable: emulator.Key | None = None
    target: Target | None = None
    pending: bool = False


def find_all(proc: Path = PROC) -> list[Target]:
    """All QEMU system emulators that run, by process id."""
    return Finder(proc).find()


def by_pid(pid: int, proc: Path = PROC) -> Target:
    """The QEMU with a process id, whatever it is called; TargetError where it is none."""
    if not (proc / str(pid)).is_dir():
        raise TargetError(f"there is no process {pid}")
    found = _examine(pid, proc)
    if found is None:
        raise TargetError(f"process {pid} is not a QEMU system emulator (or not visible without root)")
    return found


def _examine(pid: int, proc: Path) -> Target | None:
    """The QEMU that a process is, None where it is none, has ended, or only prints something."""
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
    # another user's: the file that it was started by may be looked at nevertheless
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
