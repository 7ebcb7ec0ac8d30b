"""The service's socket: whoever may asks by one JSON object a line, and is answered by one.

``{"command": "mode", "vm": "web", "mode": "skip"}`` is answered by ``{"return": …}`` or by ``{"error": "…", "kind":
"TargetError"}``. The socket is its owner's alone, and the kernel says who asks. A client that says nothing, or garbage,
is let go; none keeps another from being answered.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fakedirty import errors
from fakedirty.errors import FakedirtyError, MissingError, UsageError

DEFAULT_SOCKET = Path("/run/fakedirty/control")
PATIENCE_SECONDS = 10.0  # with a client that says nothing, and with a service that does not answer
LONGEST = 1 << 16  # bytes of a request
MOST_CLIENTS = 32

_UCRED = struct.Struct("3i")  # pid, uid, gid

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Caller:
    """The process at the other end."""

    pid: int
    uid: int

    def __str__(self) -> str:
        return f"process {self.pid} of user {self.uid}"


@dataclass(frozen=True, slots=True)
class Held:
    """An answer that holds for as long as the client stays: `release` is called when it has left, however that was."""

    answer: object
    release: Callable[[], None]


Handler = Callable[[Mapping[str, Any], Caller], object]


class NoServiceError(MissingError):
    """No service answers at the socket."""


@contextmanager
def serving(path: Path, handlers: Mapping[str, Handler]) -> Iterator[None]:
    """Answer at `path` for as long as the context lasts; UsageError where another service does."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(_listening(path))
        clients = threading.BoundedSemaphore(MOST_CLIENTS)
        thread = threading.Thread(target=_accept, args=(listener, handlers, clients), name="control", daemon=True)
        thread.start()
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            path.unlink(missing_ok=True)


@contextmanager
def _listening(path: Path) -> Iterator[socket.socket]:
    """Its owner's alone from the first moment. What a killed service left behind is replaced."""
    if path.exists():
        if not path.is_socket():
            raise UsageError(f"{path} is there, and is no socket: name another")
        try:
            told = ask("status", path=path)
        except FakedirtyError as error:
            if not isinstance(error.__cause__, FileNotFoundError | ConnectionRefusedError):
                # a service that is stopped for now goes on later, with the same promises
                raise UsageError(f"{error}: stop it, or name another") from error
            path.unlink(missing_ok=True)
        else:
            raise UsageError(f"a service answers at {path} already (pid {told['pid']}): stop it, or name another")
    with socket.socket(socket.AF_UNIX) as listener:
        before = os.umask(0o022)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            os.umask(0o177)
            listener.bind(os.fspath(path))
        except OSError as error:
            raise UsageError(f"cannot listen at {path}: {error.strerror or error}") from error
        finally:
            os.umask(before)
        listener.listen()
        yield listener


def _accept(listener: socket.socket, handlers: Mapping[str, Handler], clients: threading.BoundedSemaphore) -> None:
    while True:
        try:
            link, _ = listener.accept()
        except OSError:  # it was shut down
            return
        if not clients.acquire(blocking=False):
            with link, contextlib.suppress(OSError):
                _send(link, _error(UsageError(f"{MOST_CLIENTS} clients ask already: try again")))
            continue
        threading.Thread(target=_serve, args=(link, handlers, clients), name="control client", daemon=True).start()


def _serve(link: socket.socket, handlers: Mapping[str, Handler], clients: threading.BoundedSemaphore) -> None:
    try:
        with link, contextlib.suppress(OSError):
            link.settimeout(PATIENCE_SECONDS)
            pid, uid, _gid = _UCRED.unpack(link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
            if uid not in (0, os.geteuid()):  # the mode of the socket says so already, unless somebody changed it
                _send(link, _error(UsageError(f"user {uid} may not ask this service: its owner or root may")))
                return
            with link.makefile("rb") as lines:
                while (line := lines.readline(LONGEST + 1)) and not _has_left(link):
                    answer = _answer(line, handlers, Caller(pid, uid))
                    if isinstance(answer, Held):
                        _hold(link, answer)
                        return
                    _send(link, answer)
                    if "error" in answer:
                        return
    finally:
        clients.release()


def _has_left(link: socket.socket) -> bool:
    """Whether nobody is there to be answered: who has given up may have done something else since."""
    ends = select.poll()
    ends.register(link, 0)
    return bool(ends.poll(0))


def _answer(line: bytes, handlers: Mapping[str, Handler], asker: Caller) -> dict[str, object] | Held:
    try:
        if len(line) > LONGEST:
            raise UsageError(f"a request has {LONGEST} bytes at most")
        try:
            request = json.loads(line)
            handler = handlers.get(request["command"])
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError('expected a JSON object on one line, such as {"command": "status"}') from error
        if handler is None:
            raise UsageError(f"no command {request['command']!r}; there are {', '.join(handlers)}")
        answer = handler(request, asker)
    except FakedirtyError as error:
        return _error(error)
    except Exception:  # noqa: BLE001 - a fault in one answer must not end the service
        _log.exception("a request of process %d failed", asker.pid)
        return _error(FakedirtyError("the service could not do it; its log says why"))
    return answer if isinstance(answer, Held) else {"return": answer}


def _hold(link: socket.socket, held: Held) -> None:
    """Until the client has left; what it says meanwhile is of no interest."""
    try:
        _send(link, {"return": held.answer})
        link.settimeout(None)
        while link.recv(LONGEST):
            pass
    finally:
        held.release()


def _error(error: FakedirtyError) -> dict[str, object]:
    return {"error": str(error), "kind": type(error).__name__}


def _send(link: socket.socket, message: Mapping[str, object]) -> None:
    link.sendall(json.dumps(message, default=str).encode() + b"\n")


def ask(command: str, *, path: Path = DEFAULT_SOCKET, **arguments: object) -> Any:
    """What the service at `path` answers; its errors are raised here, NoServiceError where there is none."""
    with asking(command, path=path, **arguments) as answer:
        return answer


@contextmanager
def asking(command: str, *, path: Path = DEFAULT_SOCKET, **arguments: object) -> Iterator[Any]:
    """The same, with the connection held for as long as the context lasts."""
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(PATIENCE_SECONDS)
        try:
            link.connect(os.fspath(path))
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise NoServiceError(f"no service answers at {path}: fakedirty observe --all runs one") from error
        except OSError as error:
            raise UsageError(f"cannot ask the service at {path}: {error.strerror or error}") from error
        try:
            with contextlib.suppress(BrokenPipeError):  # refused unheard: the reason can still be read
                _send(link, {"command": command, **arguments})
            with link.makefile("rb") as lines:
                told = json.loads(lines.readline())
        except TimeoutError as error:  # nobody else is to do it meanwhile
            raise FakedirtyError(
                f"the service at {path} does not answer within {PATIENCE_SECONDS:g} s: it may do yet what was asked"
            ) from error
        except (OSError, ValueError) as error:
            raise NoServiceError(f"what listens at {path} does not answer as the service does: {error}") from error
        if not isinstance(told, dict) or not told.keys() & {"return", "error"}:
            raise NoServiceError(f"what listens at {path} is not the service: it says {str(told)[:80]!r}")
        if "error" in told:
            kind = getattr(errors, str(told.get("kind")), FakedirtyError)
            raise kind(told["error"])
        yield told["return"]
