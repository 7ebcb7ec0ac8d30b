"""A process as ``/proc`` shows it, identified by its id and its start time, because ids are reused."""

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
_MOST_LINKS = 40  # symbolic links in one path, as in the kernel
_PID = re.compile(r"^Pid:\s+(\d+)$", re.MULTILINE)


def start_ticks(stat: str) -> int:
    """The start time of a process, in clock ticks since boot, from the text of its ``/proc/PID/stat``."""
    # the name in parentheses may contain anything; starttime is the 20th field after it
    return int(stat.rpartition(")")[2].split()[19])


@dataclass(frozen=True, slots=True)
class Process:
    """One process. Values that may not be read, or do not exist any more, are None."""

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
        """Whether it still runs: whether its id has not been given to another process."""
        try:
            # called again and again for hundreds of processes: pathlib is too slow
            with open(f"{self.proc}/{self.pid}/stat", errors="replace") as file:
                return start_ticks(file.read()) == self.start_ticks
        except (OSError, ValueError, IndexError):
            return False

    @property
    def age_seconds(self) -> float:
        """Seconds since it was started."""
        return time.clock_gettime(time.CLOCK_BOOTTIME) - self.start_ticks / os.sysconf("SC_CLK_TCK")

    @property
    def parent(self) -> int | None:
        """The id of its parent."""
        try:
            return int((self.directory / "stat").read_text(errors="replace").rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            return None

    def resolve(self, path: str) -> Path:
        """Our path for an absolute path of the process: symbolic links are followed from its root, not from ours."""
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
                    except OSError:  # it is not a link, or does not exist
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
        """Its thread ids in its own, innermost pid namespace."""
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

    def arguments(self) -> list[str]:
        """Its command line, the program first; empty where it has none."""
        try:
            return os.fsdecode((self.directory / "cmdline").read_bytes()).split("\0")[:-1]
        except OSError:
            return []

    def environment(self, name: str) -> str | None:
        """The value of an environment variable when the process was started."""
        try:
            entries = os.fsdecode((self.directory / "environ").read_bytes()).split("\0")
        except OSError:
            return None
        return next((entry.partition("=")[2] for entry in entries if entry.startswith(f"{name}=")), None)

    @property
    def uuid(self) -> str | None:
        """The UUID that its command line gives to the guest; the last one counts where there are several."""
        found = None
        for option, value in itertools.pairwise(self.arguments()):
            match option:
                case "-uuid" | "--uuid":
                    found = value.lower()
                case "-smbios" | "--smbios":  # sets the same; some managers use this
                    keys = dict(part.partition("=")[::2] for part in value.split(","))
                    if keys.get("type") == "1" and "uuid" in keys:
                        found = keys["uuid"].lower()
        return found

    def namespace(self, kind: str) -> str | None:
        """Its namespace of a kind (``net``, ``mnt``, ``pid``), as the kernel names it."""
        try:
            return os.readlink(self.directory / "ns" / kind)
        except OSError:
            return None

    def shares(self, kind: str) -> bool:
        """Whether its namespace of a kind is our own; True where that may not be read."""
        theirs = self.namespace(kind)
        return theirs is None or theirs == os.readlink(self.proc / "self" / "ns" / kind)


def running(pid: int, proc: Path = PROC) -> Process:
    """The running process with an id; OSError where there is none."""
    return Process(pid, start_ticks((proc / str(pid) / "stat").read_text(errors="replace")), proc)


def other_processes(process: Process) -> list[Process]:
    """All processes but this one, as far as this user may see them."""
    found = []
    for entry in os.listdir(process.proc):
        if entry.isdigit() and int(entry) != process.pid:
            try:
                ticks = start_ticks((process.proc / entry / "stat").read_text(errors="replace"))
            except (OSError, ValueError, IndexError):
                continue
            found.append(Process(int(entry), ticks, process.proc))
    return found
