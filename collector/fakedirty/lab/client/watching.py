"""Watches a guest as its client: the client's process runs beside a migration."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fakedirty.errors import LabError
from fakedirty.lab.namespace import Namespace

from .guest_network import GUEST_ADDRESSES, GUEST_MAC, SWITCH
from .sightings import FAMILIES, Sightings, parse_sightings

INTERVAL_MS = 2.0  # between two requests of each family
POLL_SECONDS = 0.02
END_SECONDS = 10.0


class ClientWatch:
    """The client's process; its sightings are read when it has ended."""

    def __init__(self, process: subprocess.Popen[bytes], directory: Path) -> None:
        self._process = process
        self._output, self._errors = directory / "sightings", directory / "errors"

    def sightings(self) -> Sightings:
        """All frames so far; LabError if the process has ended by itself."""
        self._check_alive()
        return Sightings(parse_sightings(self._output.read_text()))

    def wait_for_replies(self, since_ns: int, seconds: float) -> None:
        """Wait until the guest has replied over both families.

        Args:
            since_ns: replies count from this moment of CLOCK_MONOTONIC.
            seconds: the longest time to wait.

        Raises:
            LabError: it has not.
        """
        deadline = time.monotonic() + seconds
        while missing := self._missing(since_ns):
            if time.monotonic() > deadline:
                raise LabError(f"the guest has not answered its client over {' and '.join(missing)} in {seconds:g} s")
            time.sleep(POLL_SECONDS)

    def _missing(self, since_ns: int) -> list[str]:
        seen = self.sightings()
        return [family for family, (_, reply) in FAMILIES.items() if seen.first(reply, since_ns) is None]

    def _check_alive(self) -> None:
        if (status := self._process.poll()) is not None:
            why = self._errors.read_text(errors="replace").strip()
            raise LabError(f"the client of the guest ended with status {status}: {why}")


@contextmanager
def watched_by_client(client: Namespace, interval_ms: float = INTERVAL_MS) -> Iterator[ClientWatch]:
    """A client that talks to the guest while the block runs.

    Args:
        client: its namespace.
        interval_ms: between two requests of each family.
    """
    addresses = [address.partition("/")[0] for address in GUEST_ADDRESSES]
    command = [*client.prefix, "setpriv", "--pdeathsig", "KILL", "--"]
    command += [sys.executable, "-m", "fakedirty.lab.client.pinger", SWITCH, GUEST_MAC, *addresses, str(interval_ms)]
    with tempfile.TemporaryDirectory(prefix="fakedirty-") as name:
        directory = Path(name)
        with (directory / "sightings").open("wb") as output, (directory / "errors").open("wb") as errors:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=errors)
        try:
            yield ClientWatch(process, directory)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
