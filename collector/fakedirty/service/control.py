"""The control socket of the service: a client sends requests, and gets answers, each a JSON object on one line.

The request ``{"command": "mode", "vm": "web", "mode": "skip"}`` has the answer ``{"return": …}`` or ``{"error": "…",
"kind": "TargetError"}``. Only the owner of the socket and root may use it; the kernel says which process the client is.
A client that sends nothing, or no request, is disconnected; no client keeps another one waiting.
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
PATIENCE_SECONDS = 10.0  # for a client that sends nothing, and for a service that does not answer
LONGEST = 1 << 16  # bytes of a request
MOST_CLIENTS = 32

_UCRED = struct.Struct("3i")  # pid, uid, gid

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Caller:
    """The process of a client."""

    pid: int
    uid: int

    def __str__(self) -> str:
        return f"process {self.pid} of user {self.uid}"


@dataclass(frozen=True, slots=True)
class Held:
    """An answer that is in force while the client stays connected; `release` is called when it has left, in any way."""

    answer: object
    release: Callable[[], None]


#: answers a request of a client; FakedirtyError refuses it
Handler = Callable[[Mapping[str, Any], Caller], object]


class NoServiceError(MissingError):
    """No service answers at the socket."""


@contextmanager
def serving(path: Path, handlers: Mapping[str, Handler]) -> Iterator[None]:
    """Answer requests while the ``with`` block runs.

    Args:
        path: The socket, which must not exist, or be left over from a service that was killed.
        handlers: What answers each command.

    Raises:
        UsageError: Another service answers there, or the socket cannot be made.
    """
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
    """A socket that only its owner can use, from the first moment. One that a killed service left is replaced."""
    if path.exists():
        if not path.is_socket():
            raise UsageError(f"{path} exists, and is no socket: name another")
        try:
            status = request("status", path=path)
        except FakedirtyError as error:
            if not isinstance(error.__cause__, FileNotFoundError | ConnectionRefusedError):
                # a service that is stopped for now may go on later, with the same pending reverts
                raise UsageError(f"{error}: stop it, or name another") from error
            path.unlink(missing_ok=True)
        else:
            raise UsageError(f"a service answers at {path} already (pid {status['pid']}): stop it, or name another")
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
        except OSError:  # the listener was shut down
            return
        if not clients.acquire(blocking=False):
            with link, contextlib.suppress(OSError):
                _send(link, _error(UsageError(f"{MOST_CLIENTS} clients are connected already: try again")))
            continue
        threading.Thread(target=_serve, args=(link, handlers, clients), name="control client", daemon=True).start()


def _serve(link: socket.socket, handlers: Mapping[str, Handler], clients: threading.BoundedSemaphore) -> None:
    try:
        with link, contextlib.suppress(OSError):
            link.settimeout(PATIENCE_SECONDS)
            pid, uid, _gid = _UCRED.unpack(link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
            caller = Caller(pid, uid)
            if uid not in (0, os.geteuid()):  # the mode of the socket forbids it already, unless somebody changed it
                _log.warning("refused %s: only the owner of this service and root may use it", caller)
                _send(link, _error(UsageError(f"user {uid} may not use this service: its owner and root may")))
                return
            with link.makefile("rb") as lines:
                while (line := lines.readline(LONGEST + 1)) and not _has_left(link):
                    answer = _answer(line, handlers, caller)
                    if isinstance(answer, Held):
                        _hold(link, answer)
                        return
                    _send(link, answer)
                    if "error" in answer:
                        return
    finally:
        clients.release()


def _has_left(link: socket.socket) -> bool:
    """Whether the client has left: one that has given up may have done something else since."""
    ends = select.poll()
    ends.register(link, 0)
    return bool(ends.poll(0))


def _answer(line: bytes, handlers: Mapping[str, Handler], caller: Caller) -> dict[str, object] | Held:
    command: object = "a request"
    try:
        if len(line) > LONGEST:
            raise UsageError(f"a request has {LONGEST} bytes at most")
        try:
            content = json.loads(line)
            handler = handlers.get(content["command"])
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError('expected a JSON object on one line, such as {"command": "status"}') from error
        command = content["command"]
        if handler is None:
            raise UsageError(f"no command {command!r}; there are {', '.join(handlers)}")
        answer = handler(content, caller)
    except FakedirtyError as error:
        _log.info("refused %s of %s: %s", command, caller, error)
        return _error(error)
    except Exception:  # noqa: BLE001 - a fault in one answer must not end the service
        _log.exception("a request of process %d failed", caller.pid)
        return _error(FakedirtyError("the service could not do it; its log says why"))
    return answer if isinstance(answer, Held) else {"return": answer}


def _hold(link: socket.socket, held: Held) -> None:
    """Wait until the client has left, and ignore what it sends."""
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


def request(command: str, *, path: Path = DEFAULT_SOCKET, **arguments: object) -> Any:
    """Send a request to the service.

    Args:
        command: The command, such as "status".
        path: The control socket.
        arguments: The other members of the request.

    Returns:
        The answer.

    Raises:
        NoServiceError: No service answers at the socket.
        FakedirtyError: The error of the service, of the kind that it was there.
    """
    with held_request(command, path=path, **arguments) as answer:
        return answer


@contextmanager
def held_request(command: str, *, path: Path = DEFAULT_SOCKET, **arguments: object) -> Iterator[Any]:
    """The same; the connection stays open while the ``with`` block runs."""
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(PATIENCE_SECONDS)
        try:
            link.connect(os.fspath(path))
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise NoServiceError(f"no service answers at {path}: fakedirty observe --all runs one") from error
        except OSError as error:
            raise UsageError(f"cannot use the service at {path}: {error.strerror or error}") from error
        try:
            with contextlib.suppress(BrokenPipeError):  # refused before it was read: the reason can still be received
                _send(link, {"command": command, **arguments})
            with link.makefile("rb") as lines:
                answer = json.loads(lines.readline())
        except TimeoutError as error:  # the service may do it later: the caller must not do it in another way
            raise FakedirtyError(
                f"the service at {path} does not answer within {PATIENCE_SECONDS:g} s: it may still do the request"
            ) from error
        except (OSError, ValueError) as error:
            raise NoServiceError(f"what listens at {path} does not answer as the service does: {error}") from error
        if not isinstance(answer, dict) or not answer.keys() & {"return", "error"}:
            raise NoServiceError(f"what listens at {path} is not the service: it answers {str(answer)[:80]!r}")
        if "error" in answer:
            kind = getattr(errors, str(answer.get("kind")), FakedirtyError)
            raise kind(answer["error"])
        yield answer["return"]
