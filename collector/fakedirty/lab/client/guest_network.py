"""The network of the guest: a switch in a third namespace, a bridge on each host, and the client at the switch.

It is apart from the link that carries the migration. As between real hosts, the switch sends the guest's packets to
the old host until something from the new one shows it where the guest is now.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fakedirty.lab.guests.workload import Workload, linux_words
from fakedirty.lab.namespace import Namespace, namespace
from fakedirty.lab.network import Network

SWITCH = "switch0"  # in all three namespaces: the client's is the switch, those of the hosts are their bridges
UPLINK, TAP = "uplink0", "guest0"

CLIENT_ADDRESSES = ("10.0.1.1/24", "fd00:1::1/64")
GUEST_ADDRESSES = ("10.0.1.2/24", "fd00:1::2/64")
GUEST_MAC = "52:54:00:00:00:01"

_BRIDGE = ("type", "bridge", "forward_delay", "0", "mcast_snooping", "0")


@contextmanager
def guest_network(hosts: Network) -> Iterator[Namespace]:
    """The network of the guest, beside the link of two hosts; it lives while the block runs.

    Yields the namespace of the client, whose addresses are those of the switch.

    Args:
        hosts: whose namespaces get a bridge with the guest's tap device. QEMU takes it by :func:`qemu_arguments`.

    Raises:
        LabError: this user is not root, a tool is missing, or the kernel has no bridges or no tap devices.
    """
    with namespace() as client:
        client.run("ip", "link", "add", SWITCH, *_BRIDGE)
        for port, host in (("port0", hosts.source), ("port1", hosts.destination)):
            client.run("ip", "link", "add", port, "type", "veth", "peer", "name", UPLINK, "netns", str(host.pid))
            host.run("ip", "link", "add", SWITCH, *_BRIDGE)
            host.run("ip", "tuntap", "add", "dev", TAP, "mode", "tap")
            _join(host, UPLINK, TAP)
            _join(client, port)
        for address in CLIENT_ADDRESSES:
            # it may be used at once: nobody else can have it
            duplicates = ("nodad",) if ":" in address else ()
            client.run("ip", "address", "add", address, "dev", SWITCH, *duplicates)
        yield client


def qemu_arguments(workload: Workload) -> list[str]:
    """QEMU's arguments on both hosts: the network device of a Linux guest, and the words that set it up.

    Args:
        workload: of the guest, whose words they are too. They come after other arguments: QEMU takes the last words.
    """
    return [
        *("-netdev", f"tap,id=guest,ifname={TAP},script=no,downscript=no,vhost=off"),
        *("-device", f"virtio-net-pci,netdev=guest,mac={GUEST_MAC},romfile="),
        *("-append", linux_words(workload, GUEST_ADDRESSES)),
    ]


def _join(of: Namespace, *ports: str) -> None:
    for port in ports:
        of.run("ip", "link", "set", port, "master", SWITCH)
    for device in (*ports, SWITCH):
        of.run("ip", "link", "set", device, "up")
