"""A real Chromium without a screen, driven over the pipe of its DevTools protocol."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PATIENCE_SECONDS = 60.0  # a failure, never a measurement
CHROMIUM = (
    "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
    "--remote-debugging-pipe",
)  # fmt: skip


class Tab:
    """One tab: what it asked for, and all that went wrong in it, are in `requests` and `complaints`."""

    def __init__(self, reading: int, writing: int) -> None:
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self._reading, self._writing = reading, writing
        self._heard = b""
        self._number = 0
        self._session: str | None = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log", "Audits"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """What the browser answers."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._writing, json.dumps(message).encode() + b"\0")
        while True:
            told = self._hear()
            if told.get("id") == self._number:
                assert "error" not in told, told
                result: dict[str, Any] = told["result"]
                return result

    def size(self, width: int, height: int, scale: float = 1, dark: bool = False) -> None:
        """The screen, which is a phone's below 500 pixels."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=scale, mobile=width < 500,
        )  # fmt: skip
        self.call("Emulation.setScrollbarsHidden", hidden=True)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def open(self, url: str) -> None:
        """Go there, until it is there."""
        self.call("Page.navigate", url=url)
        self.wait("location.href !== 'about:blank' && document.readyState === 'complete'")

    def value(self, expression: str) -> Any:
        """That of an expression, awaited if it is a promise."""
        found = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def wait(self, expression: str) -> Any:
        """Its value, once that is true."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (found := self.value(f"Boolean({expression}) && ({expression})")):
            assert time.monotonic() < deadline, f"waited in vain for {expression}: {self.complaints}\n{self.text()}"
            time.sleep(0.05)
        return found

    def text(self) -> str:
        """All that can be read in the page."""
        return str(self.value("document.body.innerText"))

    def picture(self, path: Path, whole: bool = False) -> None:
        """A screenshot, of the whole page or of what is in view."""
        told = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(told["data"]))

    def _hear(self) -> dict[str, Any]:
        while b"\0" not in self._heard:
            more = os.read(self._reading, 1 << 20)
            assert more, "the browser has ended"
            self._heard += more
        line, _, self._heard = self._heard.partition(b"\0")
        told: dict[str, Any] = json.loads(line)
        self._note(told.get("method", ""), told.get("params", {}))
        return told

    def _note(self, method: str, told: dict[str, Any]) -> None:
        match method:
            case "Network.requestWillBeSent":
                self.requests.append(told["request"]["url"])
            case "Runtime.consoleAPICalled" if told["type"] in ("error", "warning", "assert"):
                self.complaints.append(str([each.get("value", each.get("description")) for each in told["args"]]))
            case "Runtime.exceptionThrown":
                self.complaints.append(json.dumps(told["exceptionDetails"]))
            case "Log.entryAdded" if told["entry"]["level"] in ("error", "warning"):
                self.complaints.append(told["entry"]["text"])
            case "Audits.issueAdded" if told["issue"]["code"] == "ContentSecurityPolicyIssue":
                self.complaints.append(json.dumps(told["issue"]))


@contextmanager
def browser(directory: Path) -> Iterator[Tab]:
    """A tab of a fresh browser, whose profile goes into `directory`; it ends with the block."""
    to_read, theirs_to_write = map(_out_of_the_way, os.pipe())
    theirs_to_read, to_write = map(_out_of_the_way, os.pipe())
    command = ["bash", "-c", f'exec "$@" 3<&{theirs_to_read} 4>&{theirs_to_write}', "bash"]
    arguments = [*CHROMIUM, f"--user-data-dir={directory}", "about:blank"]
    with (directory.parent / f"{directory.name}.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, *arguments],
            pass_fds=(theirs_to_read, theirs_to_write),
            stdout=log,
            stderr=log,
            env={**os.environ, "HOME": str(directory)},
        )
    os.close(theirs_to_read)
    os.close(theirs_to_write)
    try:
        yield Tab(to_read, to_write)
    finally:
        _close(to_write, process)
        os.close(to_read)


def _out_of_the_way(descriptor: int) -> int:
    """The same by another number than those that the browser takes for the pipe."""
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(descriptor)
    return moved


def _close(to_write: int, process: subprocess.Popen[bytes]) -> None:
    try:
        os.write(to_write, b'{"id":0,"method":"Browser.close"}\0')
        process.wait(timeout=PATIENCE_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        process.kill()
        process.wait()
    finally:
        os.close(to_write)
