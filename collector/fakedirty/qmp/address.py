"""Where a monitor is: as a command line names it, or as a person does. How it is reached is found when it is needed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fakedirty.harmless import harmless
from fakedirty.linux.process import Process


@dataclass(frozen=True, slots=True)
class UnixSocket:
    """A Unix socket that a process listens at, by the path as that process gave it to the kernel."""

    path: str

    def __str__(self) -> str:
        return harmless(self.path)


@dataclass(frozen=True, slots=True)
class AbstractSocket:
    """A Unix socket without a file; not `tight`, the name fills the whole address with NUL bytes."""

    name: str
    tight: bool = True

    def __str__(self) -> str:
        return f"@{harmless(self.name)}"


@dataclass(frozen=True, slots=True)
class InheritedSocket:
    """A listening socket that a process was started with."""

    descriptor: int

    def __str__(self) -> str:
        return f"descriptor {self.descriptor}"


@dataclass(frozen=True, slots=True)
class TcpSocket:
    """A TCP socket, at one of the ports from `port` to `to`."""

    host: str
    port: str
    to: int | None = None

    def __str__(self) -> str:
        return f"tcp:{harmless(self.host)}:{harmless(self.port)}"


@dataclass(frozen=True, slots=True)
class Unreachable:
    """A monitor that is there, and no client of ours can come to; `why` is a clause."""

    name: str
    why: str

    def __str__(self) -> str:
        return harmless(self.name)


@dataclass(frozen=True, slots=True)
class Domain:
    """A domain of libvirt's."""

    uuid: str

    def __str__(self) -> str:
        return f"libvirt's domain {self.uuid}"


#: a Path is a socket's as we open it ourselves; the others are as the process of the monitor knows them
Place = Path | UnixSocket | AbstractSocket | InheritedSocket | TcpSocket | Unreachable | Domain


@dataclass(frozen=True, slots=True)
class Address:
    """A monitor: where it is reached, and the process that has to answer there.

    `process` is None where somebody named the socket itself: the QEMU that answers is the one that is meant.
    """

    place: Place
    process: Process | None = None

    def __str__(self) -> str:
        return str(self.place)
