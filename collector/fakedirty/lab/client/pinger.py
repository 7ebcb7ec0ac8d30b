"""The process of the client: it asks the guest for an echo again and again, and writes down which frames it sees when.

It runs in the namespace of the client (``python -m fakedirty.lab.client.pinger``), until it gets SIGTERM. Times are the
kernel's, of the moment when a frame passed the client's device. Each line of its standard output is
``NANOSECONDS KIND NUMBER``, on CLOCK_MONOTONIC.
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import sys
import time
from collections.abc import Iterator

from .frames import NUMBER, Frame, decode

ETH_P_ALL = 3
SO_TIMESTAMPNS, SO_RCVBUFFORCE = 35, 33  # which the socket module lacks
TIMESPEC = struct.Struct("@qq")
FRAME_BYTES = 256  # a frame of interest is shorter
RECEIVE_BYTES = 8 * 1024 * 1024  # of the socket's buffer: what comes while this process does not run
IDENTIFIER = 0xFD01


def main() -> None:
    """Run until a signal ends it. Each line is written at once, so none is cut off by that.

    The arguments are the device, the guest's MAC, IPv4 and IPv6 address, and the time between two requests in ms.
    """
    device, mac, address4, address6, interval_ms = sys.argv[1:]
    guest = bytes.fromhex(mac.replace(":", ""))
    capture = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    capture.bind((device, ETH_P_ALL))
    capture.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    capture.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BYTES)
    capture.setblocking(False)
    sockets = [
        (_silent(socket.AF_INET, socket.IPPROTO_ICMP), address4, echo_request4),
        (_silent(socket.AF_INET6, socket.IPPROTO_ICMPV6), address6, echo_request6),
    ]
    interval_ns, due, number = int(float(interval_ms) * 1e6), time.monotonic_ns(), 0
    while True:
        left = due - time.monotonic_ns()
        select.select([capture], [], [], max(0, left) / 1e9)
        lines = [f"{at} {frame.kind} {frame.number}\n" for at, frame in _frames(capture, guest)]
        if lines:
            sys.stdout.write("".join(lines))
            sys.stdout.flush()
        if left <= 0:
            for sender, address, request in sockets:
                with contextlib.suppress(OSError):  # nobody answers for that address: the request counts as not sent
                    sender.sendto(request(number), (address, 0))
            number += 1
            due = max(due + interval_ns, time.monotonic_ns())


def echo_request4(number: int) -> bytes:
    """An ICMP echo request with its checksum."""
    payload = NUMBER.pack(number)
    message = struct.pack("!BBHHH", 8, 0, 0, IDENTIFIER, number & 0xFFFF) + payload
    total = sum(struct.unpack(f"!{len(message) // 2}H", message))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!BBHHH", 8, 0, ~total & 0xFFFF, IDENTIFIER, number & 0xFFFF) + payload


def echo_request6(number: int) -> bytes:
    """An ICMPv6 echo request; the kernel fills its checksum in."""
    return struct.pack("!BBHHH", 128, 0, 0, IDENTIFIER, number & 0xFFFF) + NUMBER.pack(number)


def _silent(family: int, protocol: int) -> socket.socket:
    """A socket that sends only: replies are captured."""
    made = socket.socket(family, socket.SOCK_RAW, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 0)
    return made


def _frames(capture: socket.socket, guest: bytes) -> Iterator[tuple[int, Frame]]:
    """The frames that have come, each with its time."""
    to_monotonic = time.monotonic_ns() - time.time_ns()
    while True:
        try:
            content, ancillary, _flags, _address = capture.recvmsg(FRAME_BYTES, socket.CMSG_SPACE(TIMESPEC.size))
        except BlockingIOError:
            return
        if (frame := decode(content, guest)) is None:
            continue
        for level, kind, value in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS):
                seconds, nanoseconds = TIMESPEC.unpack(value)
                yield seconds * 1_000_000_000 + nanoseconds + to_monotonic, frame


if __name__ == "__main__":
    main()
