"""The monitor of a QEMU: where it is reached, and what can be done with it."""

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
    """A connection to one QEMU; `path` says which, in messages."""

    @property
    def path(self) -> Place:
        """Where it was reached."""

    @property
    def closed(self) -> bool:
        """Whether the connection has ended, from either side."""

    def execute(self, command: str, arguments: Mapping[str, object] | None = None, /, **named: object) -> Any:
        """What QEMU returns for `command`; QmpError where it refuses, is gone, or does not answer."""

    def close(self) -> None:
        """End the connection."""

    def __enter__(self) -> Self:
        """Itself."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""


def connect(
    address: Address, timeout: float = 1.5, answer_timeout: float = ANSWER_SECONDS, life: float | None = None
) -> Monitor:
    """Connect within `timeout` seconds; later commands may take `answer_timeout` each.

    With `life`, a socket is given back so many seconds after it was connected to; libvirt has many clients at once.

    What answers is proven to be the process of the address before anything is done with it. Raises PeerError where
    that cannot be, another QmpError where nothing answers.
    """
    place = address.place
    if isinstance(place, Domain):
        if address.process is None:
            raise QmpError(f"{place} is nothing without the process that it runs as")
        return DomainMonitor.connect(place, address.process, timeout, answer_timeout)
    return Qmp.connect(place, timeout, answer_timeout, address.process, life)
