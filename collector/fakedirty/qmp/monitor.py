"""Connections to the monitor of a QEMU, by QMP or through libvirt."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Protocol, Self

from fakedirty.errors import QmpError

from .address import Address, Domain, Place
from .client import Qmp
from .libvirt import DomainMonitor

__all__ = ["ANSWER_SECONDS", "Address", "Monitor", "connect"]

ANSWER_SECONDS = 5.0  # QEMU answers in a few milliseconds, a main loop that is busy in a second or two


class Monitor(Protocol):
    """A connection to one QEMU."""

    @property
    def path(self) -> Place:
        """Where the QEMU is, for messages."""

    @property
    def closed(self) -> bool:
        """Whether the connection has ended, from either side."""

    def execute(self, command: str, arguments: Mapping[str, object] | None = None, /, **named: object) -> Any:
        """Execute a command and return QEMU's answer; QmpError where it refuses, has ended, or does not answer."""

    def close(self) -> None:
        """Close the connection."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def connect(
    address: Address, timeout: float = 1.5, answer_timeout: float = ANSWER_SECONDS, life: float | None = None
) -> Monitor:
    """Connect to a monitor, and prove that its peer is the process of the address before it is used.

    Args:
        address: the monitor.
        timeout: seconds for connecting.
        answer_timeout: seconds for each later command.
        life: seconds after which a socket is closed, so that others can connect; libvirt serves many clients, and
            connections to it have no such limit.

    Raises:
        PeerError: the peer is not proven to be that process.
        QmpError: nothing answers.
    """
    place = address.place
    if isinstance(place, Domain):
        if address.process is None:
            raise QmpError(f"{place} cannot be used: the process that runs it is not known")
        return DomainMonitor.connect(place, address.process, timeout, answer_timeout)
    return Qmp.connect(place, timeout, answer_timeout, address.process, life)
