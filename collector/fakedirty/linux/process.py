"""A process as ``/proc`` shows it: known by its id and its start time, as ids are used again."""

from __future__ import annotations

import itertools
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")

_SOCKET = re.compile(r"socket:\[(\d+)\]")
_NSPID = re.compile(r"^NSpid:\s+(?:\d+\s+)*(\d+)$", re.MULTILINE)
_MOST_LINKS = 40  # in one path, as for the kernel
_PID = re.compile(r"^Pid:\s+(\d+)$", re.MULTILINE)


def start_ticks(stat: str) -> int:
    """When a process started, in clock ticks since boot, by its ``/proc/PID/stat``."""
    # the name in parentheses may hold anything; starttime is the 20th field after it
    return int(stat.rpartition(")")[2].split()[19])


@dataclass(frozen=True, slots=True)
class Process:
    """One process. What may not be read, or is gone, is None."""

    pid: int
    start_ticks: int
    proc: Path = PROC

    def __str__(self) -> str:
        return f"process {self.pid}"

    @property
    def directory(self) -> Path:
        """Its entry in /proc."""
        return self.proc / str(self.pid)

    @property
    def runs(self) -> bool:
        """Whether the id is still this process's."""
        try:
            # hundreds of these are looked at again and again: no pathlib
            with open(f"{self.proc}/{self.pid}/stat", errors="replace") as file:
                return start_ticks(file.read()) == self.start_ticks
        except (OSError, ValueError, IndexError):
            return False

    @property
    def age_seconds(self) -> float:
        """Since it was started."""
        return time.clock_gettime(time.CLOCK_BOOTTIME) - self.start_ticks / os.sysconf("SC_CLK_TCK")

    @property
    def parent(self) -> int | None:
        """The id of its parent."""
        try:
            return int((self.directory / "stat").read_text(errors="replace").rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            return None

    def seen(self, path: str) -> Path:
        """An absolute path as it leads from the root of the process: links in there mean its own root, not ours."""
        root, found = self.directory / "root", list[str]()
        left, links = path.split("/")[::-1], 0
        while left:
            match left.pop():
                case "" | ".":
                    pass
                case "..":
                    del found[-1:]
                case part:
                    try:
                        link = os.readlink(root.joinpath(*found, part)) if links < _MOST_LINKS else None
                    except OSError:  # it is none, or not there
                        link = None
                    if link is None:
                        found.append(part)
                    else:
                        links += 1
                        found = [] if link.startswith("/") else found
                        left += link.split("/")[::-1]
        return root.joinpath(*found)

    def sockets(self) -> dict[int, int] | None:
        """Inodes of its open sockets by descriptor; None where its descriptors may not be read."""
        directory = self.directory / "fd"
        found = {}
        try:
            for name in os.listdir(directory):
                try:
                    link = os.readlink(directory / name)
                except FileNotFoundError:  # closed meanwhile
                    continue
                if match := _SOCKET.fullmatch(link):
                    found[int(name)] = int(match[1])
        except (FileNotFoundError, ProcessLookupError):  # it has ended
            return {}
        except OSError:
            return None
        return found

    def threads(self) -> set[int]:
        """Its thread ids as it knows them itself: those of the innermost pid namespace."""
        found = set()
        try:
            tasks = os.listdir(self.directory / "task")
        except OSError:
            return set()
        for task in tasks:
            try:
                status = (self.directory / "task" / task / "status").read_text(errors="replace")
            except OSError:  # that thread has ended
                continue
            if match := _NSPID.search(status) or _PID.search(status):
                found.add(int(match[1]))
        return found

    def words(self) -> list[str]:
        """Its command line; empty where it has none."""
        try:
            return os.fsdecode((self.directory / "cmdline").read_bytes()).split("\0")[:-1]
        except OSError:
            return []

    def environment(self, name: str) -> str | None:
        """The value that a variable had when it was started."""
        try:
            entries = os.fsdecode((self.directory / "environ").read_bytes()).split("\0")
        except OSError:
            return None
        return next((entry.partition("=")[2] for entry in entries if entry.startswith(f"{name}=")), None)

    @property
    def uuid(self) -> str | None:
        """The UUID that its command line gives to the guest, the last one where it has several."""
        found = None
        for option, value in itertools.pairwise(self.words()):
            if option in ("-uuid", "--uuid"):
                found = value.lower()
            elif option in ("-smbios", "--smbios"):  # which sets the same, and some managers know no other way
                keys = dict(part.partition("=")[::2] for part in value.split(","))
                if keys.get("type") == "1" and "uuid" in keys:
                    found = keys["uuid"].lower()
        return found

    def namespace(self, kind: str) -> str | None:
        """Which namespace of a kind (``net``, ``mnt``, ``pid``) it is in."""
        try:
            return os.readlink(self.directory / "ns" / kind)
        except OSError:
            return None

    def shares(self, kind: str) -> bool:
        """Whether that is our own; taken to be so where it may not be read."""
        theirs = self.namespace(kind)
        return theirs is None or theirs == os.readlink(self.proc / "self" / "ns" / kind)


def running(pid: int, proc: Path = PROC) -> Process:
    """The process that has an id now. Raises OSError where there is none."""
    return Process(pid, start_ticks((proc / str(pid) / "stat").read_text(errors="replace")), proc)


def others(process: Process) -> list[Process]:
    """Every other process that is to be seen."""
    found = []
    for entry in os.listdir(process.proc):
        if entry.isdigit() and int(entry) != process.pid:
            try:
                ticks = start_ticks((process.proc / entry / "stat").read_text(errors="replace"))
            except (OSError, ValueError, IndexError):
                continue
            found.append(Process(int(entry), ticks, process.proc))
    return found
