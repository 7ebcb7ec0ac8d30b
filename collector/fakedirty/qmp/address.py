"""Addresses of QMP monitors, as a command line of QEMU or a person names them. :mod:`.connect` finds the way there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fakedirty.harmless import harmless
from fakedirty.linux.process import Process


@dataclass(frozen=True, slots=True)
class UnixSocket:
    """A Unix socket that a process listens at, by the path that this process gave to the kernel."""

    path: str

    def __str__(self) -> str:
        return harmless(self.path)


@dataclass(frozen=True, slots=True)
class AbstractSocket:
    """A Unix socket without a file. If it is not `tight`, NUL bytes fill the rest of the address after the name."""

    name: str
    tight: bool = True

    def __str__(self) -> str:
        return f"@{harmless(self.name)}"


@dataclass(frozen=True, slots=True)
class InheritedSocket:
    """A listening socket that a process inherited, by its descriptor there."""

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
    """A monitor that no client can connect to; `why` is a clause without a full stop."""

    name: str
    why: str

    def __str__(self) -> str:
        return harmless(self.name)


@dataclass(frozen=True, slots=True)
class Domain:
    """A domain of libvirt, which keeps the monitor to itself."""

    uuid: str

    def __str__(self) -> str:
        return f"libvirt's domain {self.uuid}"


#: a Path is a socket file in this process's own file system; the others are as the process of the monitor knows them
Place = Path | UnixSocket | AbstractSocket | InheritedSocket | TcpSocket | Unreachable | Domain


@dataclass(frozen=True, slots=True)
class Address:
    """A monitor.

    Attributes:
        place: where it is.
        process: the process that has to answer there; None where a user named the socket: then any QEMU may answer.
    """

    place: Place
    process: Process | None = None

    def __str__(self) -> str:
        return str(self.place)
