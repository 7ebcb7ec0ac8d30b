"""Notifications to the service manager: sd_notify(3), a datagram to ``$NOTIFY_SOCKET``. Without one, none is sent."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping


class ServiceManager:
    """Receives a notification when the service is ready, while it is alive, and when it ends."""

    def __init__(
        self, environment: Mapping[str, str] | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        known = os.environ if environment is None else environment
        self._address = known.get("NOTIFY_SOCKET", "")
        self._clock = clock
        mine = known.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        # seconds; twice as often as the manager expects it
        self._interval = int(known.get("WATCHDOG_USEC", "0")) / 2e6 if mine else 0.0
        self._notified = -self._interval

    def ready(self, status: str) -> None:
        """The service works, for the first time or after it has read its configuration again."""
        self._notify("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """The service reads its configuration again."""
        self._notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def alive(self) -> None:
        """The service is alive. Called often; it notifies only as often as the manager expects it."""
        if self._interval and self._clock() - self._notified >= self._interval:
            self._notified = self._clock()
            self._notify("WATCHDOG=1")

    def stopping(self) -> None:
        """The service ends."""
        self._notify("STOPPING=1")

    def _notify(self, *lines: str) -> None:
        if not self._address:
            return
        # @ stands for the abstract name space
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
            link.setblocking(False)
            try:
                link.sendto("\n".join(lines).encode(), address)
            except BlockingIOError:  # the manager does not read now, and the service does not wait for it
                pass
            except OSError:  # the manager has gone: it gets no more notifications
                self._address = ""
