"""Reads from the kernel the peer, the file and the queue of a Unix socket (sock_diag(7)).

All functions take the inode of a socket in our network namespace.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLMSG_ERROR = 2
_NLM_F_REQUEST = 1

# struct nlmsghdr, struct unix_diag_req, struct unix_diag_msg, struct nlattr, struct nlmsgerr; left out (x) are fields
# that are 0: the kernel ignores them in a request for one socket
_HEADER = struct.Struct("=IHH8x")
_REQUEST = struct.Struct("=B7xIIII")
_MESSAGE = struct.Struct("=BBBBIII")
_ATTRIBUTE = struct.Struct("=HH")
_ERROR = struct.Struct("=i")

_SHOW_VFS, _SHOW_PEER, _SHOW_QUEUE = 2, 4, 16
_VFS, _PEER, _QUEUE = 1, 2, 4
_NO_COOKIE = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class SocketFile:
    """The file that a socket is bound to: the lower 32 bits of its inode, and its device as major and minor number."""

    inode: int
    device: tuple[int, int]


def peer(inode: int) -> int | None:
    """The inode of the other end of a connected socket.

    None where there is no other end, where the connection has not been accepted yet, and where the kernel does not
    report it.
    """
    found = _attribute(inode, _SHOW_PEER, _PEER)
    return (int.from_bytes(found[:4], "little") or None) if found else None


def file_of(inode: int) -> SocketFile | None:
    """The file that a socket is bound to; None where there is none, or the kernel does not report it."""
    found = _attribute(inode, _SHOW_VFS, _VFS)
    if not found:
        return None
    file, device = struct.unpack_from("=II", found)
    return SocketFile(file, (device >> 20, device & 0xFFFFF))


def waiting(inode: int) -> int:
    """How many clients wait at a listening socket; 0 where the kernel does not report it.

    A client that has disconnected counts until it is accepted.
    """
    found = _attribute(inode, _SHOW_QUEUE, _QUEUE)
    return int(struct.unpack_from("=I", found)[0]) if found else 0


def _attribute(inode: int, show: int, kind: int) -> bytes | None:
    request = _REQUEST.pack(socket.AF_UNIX, inode & 0xFFFFFFFF, show, _NO_COOKIE, _NO_COOKIE)
    header = _HEADER.pack(_HEADER.size + len(request), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST)
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as kernel:
            kernel.send(header + request)
            answer = kernel.recv(1 << 16, socket.MSG_DONTWAIT)  # the kernel answers while it is sent to
    except OSError:  # this kernel lacks it, or it is forbidden here
        return None
    size, message, _ = _HEADER.unpack_from(answer)
    if message == _NLMSG_ERROR:
        return None
    position = _HEADER.size + _MESSAGE.size
    while position < size:
        length, number = _ATTRIBUTE.unpack_from(answer, position)
        if length < _ATTRIBUTE.size:
            return None
        if number == kind:
            return answer[position + _ATTRIBUTE.size : position + length]
        position += -(-length // 4) * 4
    return None
