"""The Ethernet frames by which a client notices a guest: echoes, and what announces the guest's new place."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple

from fakedirty.model.enums import StringEnum

ETHERNET_BYTES = 14
IPV4, ARP, RARP, IPV6 = 0x0800, 0x0806, 0x8035, 0x86DD
ICMP, ICMPV6 = 1, 58
ECHO = {(ICMP, 8): "request", (ICMP, 0): "reply", (ICMPV6, 128): "request", (ICMPV6, 129): "reply"}
NEIGHBOUR_ADVERTISEMENT = 136
IPV6_BYTES, ADVERTISEMENT_BYTES = 40, 24  # of the header; of a message without options
#: what an echo carries: its number, which unlike that of the header does not wrap
NUMBER = struct.Struct("!Q")


class FrameKind(StringEnum):
    """What a frame is. The announcements are those of QEMU (RARP) and of the guest's kernel (the others)."""

    REQUEST4 = 0
    REPLY4 = 1
    REQUEST6 = 2
    REPLY6 = 3
    RARP = 4
    GRATUITOUS_ARP = 5
    NEIGHBOUR_ADVERTISEMENT = 6


REQUESTS = frozenset({FrameKind.REQUEST4, FrameKind.REQUEST6})


class Frame(NamedTuple):
    """A frame of interest; `number` is that of an echo, and 0 for others."""

    kind: FrameKind
    number: int = 0


def decode(content: bytes, guest: bytes) -> Frame | None:
    """Decode an Ethernet frame.

    Args:
        content: the frame, or at least its first 128 bytes.
        guest: the MAC address of the guest.

    Returns:
        None for any frame that is not one of :class:`FrameKind`, is cut off, or is not the guest's and no request.
    """
    if len(content) < ETHERNET_BYTES:
        return None
    (kind,) = struct.unpack_from("!H", content, 12)
    decoder = _DECODERS.get(kind)
    found = decoder(content[ETHERNET_BYTES:]) if decoder else None
    of_guest = content[6:12] == guest
    return found if found and of_guest != (found.kind in REQUESTS) else None


def _ipv4(packet: bytes) -> Frame | None:
    if len(packet) < 20 or packet[9] != ICMP:
        return None
    return _echo(ICMP, packet[4 * (packet[0] & 15) :], FrameKind.REQUEST4, FrameKind.REPLY4)


def _ipv6(packet: bytes) -> Frame | None:
    if len(packet) <= IPV6_BYTES or packet[6] != ICMPV6:
        return None
    message = packet[IPV6_BYTES:]
    if message[0] == NEIGHBOUR_ADVERTISEMENT:
        # an answer has the flag "solicited" in its second word
        other = len(message) < ADVERTISEMENT_BYTES or message[4] & 0x40
        return None if other else Frame(FrameKind.NEIGHBOUR_ADVERTISEMENT)
    return _echo(ICMPV6, message, FrameKind.REQUEST6, FrameKind.REPLY6)


def _echo(protocol: int, message: bytes, request: FrameKind, reply: FrameKind) -> Frame | None:
    if len(message) < 8 + NUMBER.size:
        return None
    match ECHO.get((protocol, message[0])):
        case "request":
            return Frame(request, *NUMBER.unpack_from(message, 8))
        case "reply":
            return Frame(reply, *NUMBER.unpack_from(message, 8))
        case _:
            return None


def _arp(packet: bytes) -> Frame | None:
    """A gratuitous ARP has the same address as sender and as target."""
    if len(packet) < 28 or packet[14:18] != packet[24:28]:
        return None
    return Frame(FrameKind.GRATUITOUS_ARP)


def _rarp(packet: bytes) -> Frame | None:
    return Frame(FrameKind.RARP) if len(packet) >= 28 else None


_DECODERS: dict[int, Callable[[bytes], Frame | None]] = {IPV4: _ipv4, IPV6: _ipv6, ARP: _arp, RARP: _rarp}
