"""A QMP server of a few lines on a real Unix socket: says what it is told to, and misbehaves on demand."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

VERSION = {"qemu": {"major": 0, "minor": 0, "micro": 0}, "package": ""}
GREETING = {"QMP": {"version": VERSION, "capabilities": []}}

Answers = Mapping[str, Callable[[dict[str, Any]], object]]


class Hangup(Exception):  # noqa: N818 - not an error: the server's way to leave
    """Raised by an answer: close the connection instead."""


class Refused(Exception):  # noqa: N818 - not an error of the server's
    """Raised by an answer: these are the words of QEMU's refusal."""


def requests(link: socket.socket) -> Iterator[dict[str, Any]]:
    """JSON objects as they come; nothing separates one from the next."""
    text = ""
    while part := link.recv(65536).decode():
        text += part
        while text:
            try:
                request, end = json.JSONDecoder().raw_decode(text)
            except ValueError:
                break
            yield request
            text = text[end:].lstrip()


def answered(answer: Callable[[dict[str, Any]], object], arguments: dict[str, Any]) -> dict[str, object]:
    """What it returns, or that it refuses."""
    try:
        return {"return": answer(arguments)}
    except Refused as words:
        return {"error": {"class": "GenericError", "desc": str(words)}}


@contextmanager
def qmp_server(at: Path | bytes | tuple[str, int], answers: Answers) -> Iterator[Callable[[str], None]]:
    """Serve one client at a path, an abstract name or a TCP address; `answers` maps a command to what it returns.

    Yields a function that sends an event.
    """
    unix = not isinstance(at, tuple)
    family = socket.AF_UNIX if unix else socket.AF_INET6 if ":" in at[0] else socket.AF_INET
    with socket.socket(family) as listener:
        listener.bind(str(at) if isinstance(at, Path) else at)
        listener.listen(1)
        accepted = threading.Event()
        links: list[socket.socket] = []

        def send(message: object) -> None:
            links[0].sendall(json.dumps(message).encode() + b"\r\n")

        def serve() -> None:
            link, _ = listener.accept()
            links.append(link)
            # a client may leave at any moment, with or without having read what it was sent
            with link, suppress(Hangup, BrokenPipeError, ConnectionResetError):
                send(GREETING)
                for request in requests(link):
                    command = request["execute"]
                    if command == "qmp_capabilities":
                        send({"return": {}})
                        accepted.set()
                    elif command in answers:
                        send(answered(answers[command], request.get("arguments", {})) | {"id": request["id"]})
                    else:
                        error = {"class": "CommandNotFound", "desc": f"no command {command}"}
                        send({"error": error, "id": request["id"]})

        def event(name: str) -> None:
            accepted.wait(10)
            send({"event": name, "data": {}, "timestamp": {"seconds": 0, "microseconds": 0}})

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield event


@contextmanager
def babbling_server(path: Path, says: bytes, hold: threading.Event | None = None) -> Iterator[None]:
    """Accept one client, send `says`, and close; with `hold`, only when that is set."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(1)

        def serve() -> None:
            link, _ = listener.accept()
            with link, suppress(BrokenPipeError, ConnectionResetError):
                link.sendall(says)
                if hold:
                    hold.wait(10)

        threading.Thread(target=serve, daemon=True).start()
        yield
