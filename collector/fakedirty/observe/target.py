"""The QEMU processes of this host, as ``/proc`` shows them."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fakedirty.errors import TargetError
from fakedirty.model.names import visible
from fakedirty.qmp.domain import Domain
from fakedirty.qmp.monitor import Address

PROC = Path("/proc")
_NAMES = ("qemu-system-", "qemu-kvm")
_LIBVIRTS_MONITOR = "charmonitor"


@dataclass(frozen=True, slots=True)
class Target:
    """One running QEMU. `exe` opens the executable even when its file was deleted or replaced.

    `monitors` are the ways to ask it, the best first: a QEMU of libvirt's is asked through libvirt.
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

    @property
    def identity(self) -> tuple[int, int]:
        """Process id and start time, as ids are used again."""
        return self.pid, self.start_ticks

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
        raw = (directory / "cmdline").read_bytes()
        stat = (directory / "stat").read_text(errors="replace")
    except OSError:  # it has just ended
        return None
    words = raw.decode(errors="surrogateescape").split("\0")[:-1]  # so that a path opens what it names
    program = _program(directory, words)
    # the name in parentheses may hold anything; starttime is the 20th field after it
    start_ticks = int(stat.rpartition(")")[2].split()[19])
    return Target(
        pid=pid,
        vm=_vm_name(words) or f"pid-{pid}",
        exe=directory / "exe",
        program=program,
        start_ticks=start_ticks,
        monitors=(*_domain(words, pid, proc), *(_seen_from_here(directory, path) for path in _qmp_paths(words))),
        proc=proc,
        incoming=any(word.lstrip("-") == "incoming" and word.startswith("-") for word in words),
        uuid=next(_options(words, "uuid"), "").lower(),
    )


def _program(directory: Path, words: list[str]) -> str:
    try:
        return os.readlink(directory / "exe").removesuffix(" (deleted)")
    except OSError:  # a kernel thread, or another user's process
        return words[0] if words else ""


def _options(words: list[str], option: str) -> Iterator[str]:
    for name, value in itertools.pairwise(words):
        if name.lstrip("-") == option and name.startswith("-"):
            yield value


def _keys(value: str, first: str) -> dict[str, str]:
    """``a,b=c`` as a mapping; a first part without a key gets the name `first`. ``,,`` is a comma."""
    parts = [part.replace("\0", ",") for part in value.replace(",,", "\0").split(",")]
    return dict((first, part) if number == 0 and "=" not in part else _pair(part) for number, part in enumerate(parts))


def _pair(part: str) -> tuple[str, str]:
    key, _equals, value = part.partition("=")
    return key, value


def _domain(words: list[str], pid: int, proc: Path) -> Iterator[Domain]:
    """The domain that a QEMU is: libvirt starts it with the end of a connection of its own as its monitor."""
    monitors = [_keys(value, "backend") for value in _options(words, "chardev")]
    if any(keys.get("id") == _LIBVIRTS_MONITOR and "fd" in keys for keys in monitors):
        yield from (Domain(uuid, pid, proc) for uuid in _options(words, "uuid"))


def _vm_name(words: list[str]) -> str | None:
    for value in _options(words, "name"):
        if name := _keys(value, "guest").get("guest"):
            return visible(name)
    return None


def _qmp_paths(words: list[str]) -> Iterator[str]:
    """The UNIX sockets on which the command line offers QMP."""
    sockets = {}
    for value in _options(words, "chardev"):
        keys = _keys(value, "backend")
        if keys.get("backend") == "socket" and "path" in keys:
            sockets[keys.get("id", "")] = keys["path"]
    for option in ("qmp", "qmp-pretty"):
        for value in _options(words, option):
            if value.startswith("unix:"):
                yield _keys(value.removeprefix("unix:"), "path")["path"]
            elif value.removeprefix("chardev:") in sockets:
                yield sockets[value.removeprefix("chardev:")]
    for value in _options(words, "mon"):
        keys = _keys(value, "chardev")
        if keys.get("mode") == "control" and keys.get("chardev") in sockets:
            yield sockets[keys["chardev"]]


def _seen_from_here(directory: Path, path: str) -> Path:
    """A path of the process's as this process can open it: it may have other mounts, or be relative."""
    if not path.startswith("/"):
        return directory / "cwd" / path
    elsewhere = directory / "root" / path[1:]
    # os.path: a directory that may not be entered counts as absent
    return elsewhere if not os.path.exists(path) and os.path.exists(elsewhere) else Path(path)
