"""Two network namespaces joined by a shaped link: the wire between source and destination.

The link lives in the namespaces, and ends with them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from .namespace import Namespace, namespace

DEVICE = "link0"
ADDRESSES = ("10.0.0.1", "10.0.0.2")  # of every network: each has namespaces of its own
GIGABIT = 1_000_000_000

# A token bucket of 2 ms at 1 Gbit/s, and never below one unsegmented TCP packet. The latency is the longest time that
# a packet may wait. A single stream reaches 95 % of the rate; its headers take the rest.
BURST_SECONDS = 0.002
BURST_LEAST_BYTES = 128 * 1024
LATENCY = "50ms"


@dataclass(frozen=True, slots=True)
class End(Namespace):
    """One end of the link: a namespace with one address on it."""

    address: str

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
        first, second = (End(stack.enter_context(namespace()).pid, address) for address in ADDRESSES)
        first.run("ip", "link", "add", DEVICE, "type", "veth", "peer", "name", DEVICE, "netns", str(second.pid))
        for end in (first, second):
            end.run("ip", "address", "add", f"{end.address}/30", "dev", DEVICE)
            end.run("ip", "link", "set", DEVICE, "up")
            end.run("ip", "link", "set", "lo", "up")
            end.shape(bits_per_second)
        yield Network(first, second, bits_per_second)


def _parsed(text: str) -> list[dict[str, Any]]:
    return [entry for entry in json.loads(text) if entry]
