"""Frames as they are on the wire: echoes of both families, and what announces a guest."""

from __future__ import annotations

import struct

import pytest
from fakedirty.lab.client.frames import Frame, FrameKind, decode
from fakedirty.lab.client.pinger import echo_request4, echo_request6

GUEST = bytes.fromhex("525400000001")
CLIENT = bytes.fromhex("0a0000000001")
BROADCAST = b"\xff" * 6


def ethernet(kind: int, content: bytes, source: bytes = GUEST) -> bytes:
    return BROADCAST + source + struct.pack("!H", kind) + content


def ipv4(message: bytes, protocol: int = 1, options: bytes = b"") -> bytes:
    header = struct.pack("!BBHHHBBH8x", 0x45 + len(options) // 4, 0, 0, 0, 0, 64, protocol, 0)
    return header + options + message


def ipv6(message: bytes, protocol: int = 58) -> bytes:
    return struct.pack("!IHBB32x", 6 << 28, len(message), protocol, 255) + message


def arp(sender: int, target: int) -> bytes:
    return struct.pack("!HHBBH6sI6sI", 1, 0x0800, 6, 4, 1, GUEST, sender, b"\0" * 6, target)


def advertisement(flags: int) -> bytes:
    return struct.pack("!BBHI16x", 136, 0, 0, flags)


def echo(kind: int, number: int) -> bytes:
    return struct.pack("!BBHHHQ", kind, 0, 0, 0xFD01, number & 0xFFFF, number)


@pytest.mark.parametrize(
    ("content", "frame"),
    [
        (ethernet(0x0800, ipv4(echo(0, 70_000))), Frame(FrameKind.REPLY4, 70_000)),
        (ethernet(0x0800, ipv4(echo(0, 5), options=b"\1" * 4)), Frame(FrameKind.REPLY4, 5)),
        (ethernet(0x0800, ipv4(echo_request4(9)), CLIENT), Frame(FrameKind.REQUEST4, 9)),
        (ethernet(0x86DD, ipv6(echo(129, 70_000))), Frame(FrameKind.REPLY6, 70_000)),
        (ethernet(0x86DD, ipv6(echo_request6(9)), CLIENT), Frame(FrameKind.REQUEST6, 9)),
        (ethernet(0x86DD, ipv6(advertisement(0x20000000))), Frame(FrameKind.NEIGHBOUR_ADVERTISEMENT)),
        (ethernet(0x0806, arp(7, 7)), Frame(FrameKind.GRATUITOUS_ARP)),
        (ethernet(0x8035, arp(0, 0)), Frame(FrameKind.RARP)),
    ],
)  # fmt: skip
def test_frames_of_interest(content: bytes, frame: Frame) -> None:
    assert decode(content, GUEST) == frame


@pytest.mark.parametrize(
    "content",
    [
        b"",
        ethernet(0x0800, b""),
        ethernet(0x86DD, ipv6(b"")),
        ethernet(0x88CC, b"\0" * 40),
        ethernet(0x0800, ipv4(echo(0, 5), protocol=17)),
        ethernet(0x86DD, ipv6(echo(129, 5), protocol=17)),
        ethernet(0x0800, ipv4(echo(3, 5))),
        ethernet(0x86DD, ipv6(echo(135, 5))),
        ethernet(0x86DD, ipv6(advertisement(0x60000000))),
        ethernet(0x0806, arp(7, 8)),
        ethernet(0x0806, arp(7, 7)[:20]),
        ethernet(0x8035, b"\0" * 8),
        ethernet(0x0800, ipv4(echo(0, 5))[:-1]),
        ethernet(0x0800, ipv4(echo(0, 5)), CLIENT),
        ethernet(0x0806, arp(7, 7), CLIENT),
        ethernet(0x8035, arp(0, 0), CLIENT),
        ethernet(0x0800, ipv4(echo_request4(9))),
    ],
    ids=[
        "nothing", "no IPv4", "no ICMPv6", "LLDP", "UDP", "UDP over IPv6", "unreachable", "neighbour solicitation",
        "a solicited advertisement", "a question", "a cut ARP", "a cut RARP", "a cut echo", "a reply of the client",
        "an announcement of the client", "a RARP of the client", "a request of the guest",
    ],
)  # fmt: skip
def test_others_are_no_frames_of_interest(content: bytes) -> None:
    assert decode(content, GUEST) is None


@pytest.mark.parametrize("length", [1, 4, 8, 23])
def test_an_advertisement_that_is_cut_off_announces_nothing(length: int) -> None:
    assert decode(ethernet(0x86DD, ipv6(advertisement(0x20000000)[:length])), GUEST) is None


@pytest.mark.parametrize("number", [0, 1, 65_535, 65_536, 2**40 + 12_345])
def test_an_echo_request_has_a_right_checksum(number: int) -> None:
    words = struct.unpack("!8H", echo_request4(number))
    total = sum(words)
    assert (total & 0xFFFF) + (total >> 16) == 0xFFFF
