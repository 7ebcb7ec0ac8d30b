"""What the service manager is told: sd_notify(3), a datagram to ``$NOTIFY_SOCKET``. Without one, nothing."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping


class ServiceManager:
    """Told when the service is ready, that it is alive, and when it ends."""

    def __init__(
        self, environment: Mapping[str, str] | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        known = os.environ if environment is None else environment
        self._address = known.get("NOTIFY_SOCKET", "")
        self._clock = clock
        mine = known.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        # twice as often as it wants to hear of us
        self._interval = int(known.get("WATCHDOG_USEC", "0")) / 2e6 if mine else 0.0
        self._told = -self._interval

    def ready(self, status: str) -> None:
        """The service does its work, for the first time or after it has read its configuration again."""
        self._tell("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """The configuration is read again."""
        self._tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def alive(self) -> None:
        """To be called again and again from where the work is done; tells it as often as the manager wants."""
        if self._interval and self._clock() - self._told >= self._interval:
            self._told = self._clock()
            self._tell("WATCHDOG=1")

    def stopping(self) -> None:
        """The service ends."""
        self._tell("STOPPING=1")

    def _tell(self, *lines: str) -> None:
        if not self._address:
            return
        # @ stands for the abstract name space
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
            link.setblocking(False)
            try:
                link.sendto("\n".join(lines).encode(), address)
            except BlockingIOError:  # it does not listen now, and is not waited for
                pass
            except OSError:  # a manager that has gone is told no more
                self._address = ""
