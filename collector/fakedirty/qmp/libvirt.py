"""The monitor of a QEMU that libvirt manages: commands go through libvirt, which holds the only monitor.

``LIBVIRT_DEFAULT_URI`` and ``libvirt.conf`` choose the libvirt, as for every client of it. Calls of libvirt have no
time limit, so a thread makes them that can be abandoned.
"""

from __future__ import annotations

import ipaddress
import json
import queue
import socket
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from types import ModuleType, TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

from fakedirty.errors import QmpError
from fakedirty.linux.process import Process

from . import peer
from .address import Domain
from .client import QmpClosedError, QmpRefusedError
from .validation import parsing_answers

T = TypeVar("T")


class DomainMonitor:
    """The monitor of a domain, opened by :meth:`connect` and closed by :meth:`close` or by ``with``."""

    def __init__(self, domain: Domain, worker: _Worker, answer_timeout: float) -> None:
        self.path = domain
        self._worker = worker
        self._answer_timeout = answer_timeout
        self._connection: Any = None
        self._domain: Any = None
        self._command: Callable[[Any, str, int], str]

    @classmethod
    def connect(cls, domain: Domain, process: Process, timeout: float, answer_timeout: float) -> Self:
        """Connect to libvirt and prove the domain.

        Args:
            domain: the domain.
            process: the QEMU that has to run it.
            timeout: seconds for connecting.
            answer_timeout: seconds for each later command.

        Raises:
            PeerError: the domain is not proven to run in `process`.
            QmpError: there is no libvirt, or it has no such domain.
        """
        try:
            import libvirt
            import libvirt_qemu
        except ImportError as error:
            raise QmpError(
                f"{domain} is reached through libvirt, whose Python module is missing: install python3-libvirt, or "
                "fakedirty with the extra `libvirt`"
            ) from error
        libvirt.registerErrorHandler(lambda _context, _error: None, None)  # it would print the errors that it raises
        monitor = cls(domain, _Worker(libvirt), answer_timeout)
        monitor._command = libvirt_qemu.qemuMonitorCommand
        try:
            monitor._worker.do(lambda: monitor._open(libvirt), timeout, f"to reach {domain}")
            if doubt := peer.doubt_by_threads(domain, process, monitor.execute):
                raise peer.refusal(domain, process, (doubt, "another libvirt may manage it"))
        except QmpError as error:
            monitor.close()
            kind = peer.PeerError if isinstance(error, peer.PeerError) else QmpError
            raise kind(f"{error}; LIBVIRT_DEFAULT_URI chooses the libvirt") from error
        except BaseException:
            monitor.close()
            raise
        return monitor

    def execute(self, command: str, arguments: Mapping[str, object] | None = None, /, **named: object) -> Any:
        """Execute a command and return QEMU's answer; arguments and errors as of :meth:`fakedirty.qmp.client.Qmp`."""
        request = json.dumps({"execute": command, "arguments": {**(arguments or {}), **named}})
        reply = self._worker.do(lambda: self._command(self._domain, request, 0), self._answer_timeout, command)
        with parsing_answers(self.path):
            answer = json.loads(reply)
            if error := answer.get("error"):
                raise QmpRefusedError(command, error["class"], error["desc"])
            return answer["return"]

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._worker.ended

    def close(self) -> None:
        """Disconnect from libvirt. May be called twice."""
        self._worker.end(self._leave)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open(self, libvirt: ModuleType) -> None:
        self._connection = libvirt.open(None)
        if host := host_of(uri := str(self._connection.getURI())):
            # source and destination have the same UUID, and thread ids of another host prove nothing
            raise QmpError(f"{self.path} is not used through {uri}, which is a libvirt of another host ({host})")
        self._domain = self._connection.lookupByUUIDString(self.path.uuid)

    def _leave(self) -> None:
        if self._connection is not None:
            self._connection.close()


def host_of(uri: str) -> str:
    """The host of the libvirt that a URI names; empty for this host.

    >>> host_of("qemu+ssh://root@far.example/system"), host_of("qemu:///system")
    ('far.example', '')
    """
    host = urlsplit(uri).hostname or ""
    try:
        here = host in ("", "localhost", socket.gethostname().lower()) or ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name, and not ours
        here = False
    return "" if here else host


class _Worker:
    """A thread that makes one call after the other; callers wait for a limited time."""

    def __init__(self, libvirt: ModuleType) -> None:
        self._error = libvirt.libvirtError
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self.ended = False
        threading.Thread(target=self._run, name="libvirt", daemon=True).start()

    def do(self, what: Callable[[], T], timeout: float, name: str) -> T:
        """Call `what` in the thread and return its result; `name` is for messages.

        Raises:
            QmpError: libvirt refused, or took longer than `timeout` seconds.
        """
        with self._lock:
            if self.ended:
                raise QmpClosedError(f"the connection to libvirt is closed (while doing {name})")
            future: Future[T] = Future()
            self._work.put(lambda: _fulfil(future, what))
        try:
            return future.result(timeout)
        except TimeoutError:
            raise QmpError(f"libvirt did not answer {name} within {timeout:g} s: is libvirtd stopped?") from None
        except self._error as error:
            raise QmpError(f"libvirt refused {name}: {error}") from error

    def end(self, last: Callable[[], None]) -> None:
        """End the thread after it has called `last`; returns at once."""
        with self._lock:
            if self.ended:
                return
            self.ended = True
            self._work.put(lambda: _fulfil(Future(), last))
            self._work.put(None)

    def _run(self) -> None:
        while work := self._work.get():
            work()


def _fulfil(future: Future[T], what: Callable[[], T]) -> None:
    try:
        future.set_result(what())
    except Exception as error:  # noqa: BLE001 - raised where it is waited for
        future.set_exception(error)
