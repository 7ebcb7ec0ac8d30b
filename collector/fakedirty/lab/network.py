"""Two network namespaces joined by a shaped link: the wire between source and destination.

The namespaces have no names. Each lives as long as a ``cat`` that waits on a pipe from this process, and the link
lives in them. So they end with this process, also if it is killed.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from fakedirty.errors import LabError

DEVICE = "link0"
ADDRESSES = ("10.0.0.1", "10.0.0.2")  # of every network: each has namespaces of its own
GIGABIT = 1_000_000_000

# A token bucket of 2 ms at 1 Gbit/s, and never below one unsegmented TCP packet. The latency is the longest time that
# a packet may wait. A single stream reaches 95 % of the rate; its headers take the rest.
BURST_SECONDS = 0.002
BURST_LEAST_BYTES = 128 * 1024
LATENCY = "50ms"


@dataclass(frozen=True, slots=True)
class End:
    """One end of the link: a namespace with one address."""

    pid: int
    address: str

    @property
    def prefix(self) -> tuple[str, ...]:
        """The words in front of a command that is to run at this end. They exec it, so the pid stays the same."""
        return ("nsenter", f"--net=/proc/{self.pid}/ns/net", "--")

    def run(self, *command: str) -> str:
        """Run `command` at this end; its standard output."""
        return _run(*self.prefix, *command)

    def shape(self, bits_per_second: int) -> None:
        """Limit what this side sends from now on."""
        burst = max(int(bits_per_second / 8 * BURST_SECONDS), BURST_LEAST_BYTES)
        shaper = ("tbf", "rate", f"{bits_per_second}bit", "burst", f"{burst}b", "latency", LATENCY)
        self.run("tc", "qdisc", "replace", "dev", DEVICE, "root", *shaper)

    def sent_bytes(self) -> int:
        """Bytes that this side has sent, headers included, as the shaper counts them."""
        (shaper,) = _parsed(self.run("tc", "-json", "-statistics", "qdisc", "show", "dev", DEVICE, "root"))
        return int(shaper["bytes"])


@dataclass(frozen=True, slots=True)
class Network:
    """The two ends, and the rate at which both send."""

    source: End
    destination: End
    bits_per_second: int


@contextmanager
def shaped_network(bits_per_second: int = GIGABIT) -> Iterator[Network]:
    """A network that lives while the block runs.

    Args:
        bits_per_second: bandwidth of the link, each way.

    Raises:
        LabError: this user is not root, or a tool is missing.
    """
    with ExitStack() as stack:
        first, second = (End(stack.enter_context(_namespace()), address) for address in ADDRESSES)
        first.run("ip", "link", "add", DEVICE, "type", "veth", "peer", "name", DEVICE, "netns", str(second.pid))
        for end in (first, second):
            end.run("ip", "address", "add", f"{end.address}/30", "dev", DEVICE)
            end.run("ip", "link", "set", DEVICE, "up")
            end.run("ip", "link", "set", "lo", "up")
            end.shape(bits_per_second)
        yield Network(first, second, bits_per_second)


@contextmanager
def _namespace() -> Iterator[int]:
    """The pid of a process that does nothing in a network namespace of its own."""
    pipe = subprocess.PIPE
    try:
        keeper = subprocess.Popen(("unshare", "--net", "cat"), bufsize=0, stdin=pipe, stdout=pipe, stderr=pipe)
    except FileNotFoundError as error:
        raise LabError(f"{error.filename} is not installed: apt-get install util-linux") from error
    with keeper:
        try:
            _echo(keeper)
            yield keeper.pid
        finally:
            keeper.kill()


def _echo(keeper: subprocess.Popen[bytes]) -> None:
    """Wait until `keeper` has its namespace: only then does it echo a line."""
    assert keeper.stdin
    assert keeper.stdout
    assert keeper.stderr
    try:
        keeper.stdin.write(b"\n")
        keeper.stdin.flush()
        echo = keeper.stdout.readline()
    except BrokenPipeError:
        echo = b""
    if not echo:
        reason = keeper.stderr.read().decode(errors="replace").strip()
        raise LabError(f"cannot make a network namespace ({reason}): the laboratory needs root")


def _run(*command: str) -> str:
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout
    except FileNotFoundError as error:
        raise LabError(f"{error.filename} is not installed: apt-get install iproute2 util-linux") from error
    except subprocess.CalledProcessError as error:
        hint = ": this kernel lacks sch_tbf" if "tbf" in command and "qdisc" in error.stderr.lower() else ""
        raise LabError(f"'{' '.join(command)}' failed{hint}: {error.stderr.strip()}") from error


def _parsed(text: str) -> list[dict[str, Any]]:
    return [entry for entry in json.loads(text) if entry]
