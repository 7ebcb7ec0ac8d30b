"""The control monitors of a QEMU, which its command line and its configuration files name.

Only sockets that these call a control monitor are used. A QEMU listens at other sockets, too (VNC, serial lines,
migration), and a connection there would have effects.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from fakedirty.linux.process import Process
from fakedirty.qmp.address import (
    AbstractSocket,
    Address,
    Domain,
    InheritedSocket,
    Place,
    TcpSocket,
    UnixSocket,
    Unreachable,
)

from .command_line import CommandLine, Keys, is_on, keys

_LIBVIRTS_MONITOR = "charmonitor"
_LIBVIRTS_PROBES = re.compile(r"/qmp-[^/]+/qmp\.monitor$")
_SHORT = ("qmp", "qmp-pretty")


def monitors(line: CommandLine, process: Process) -> tuple[Address, ...]:
    """The addresses of the monitors, the best first. If libvirt holds a monitor, it is reached through libvirt."""
    places = dict.fromkeys(_places(line))
    ranks = (Domain, (UnixSocket, AbstractSocket, InheritedSocket, TcpSocket), Unreachable)
    return tuple(Address(place, process) for rank in ranks for place in places if isinstance(place, rank))


def _places(line: CommandLine) -> Iterator[Place]:
    chardevs = {group.get("id", ""): group for group in line.groups("chardev", "backend")}
    for option in _SHORT:
        for value in line.values(option):
            name = value.removeprefix("chardev:")
            if value.startswith("chardev:"):
                yield from _of_chardev(name, chardevs, line)
            elif value != "none":
                yield _of_short(option, value)
    for group in line.groups("mon", "chardev"):
        if group.get("mode") == "control":
            yield from _of_chardev(group.get("chardev", ""), chardevs, line)
    for name, why in line.unread.items():
        yield Unreachable(
            f"-readconfig {name}", f"it cannot be read ({why}), so monitors that it may name are not known"
        )


def _of_chardev(name: str, chardevs: dict[str, Keys], line: CommandLine) -> Iterator[Place]:
    group = chardevs.get(name)
    if group is None:
        yield Unreachable(f"chardev {name}", "no option defines it")
    elif name == _LIBVIRTS_MONITOR and "fd" in group and (uuids := list(line.values("uuid"))):
        # libvirt passes a socket to QEMU, and stays connected to it
        yield Domain(uuids[-1])
    elif group.get("backend") != "socket":
        yield Unreachable(f"chardev {name}", f"it is not a socket: its kind is {group.get('backend', 'unknown')}")
    else:
        yield _socket(f"chardev {name}", group)


def _of_short(option: str, value: str) -> Place:
    """The place of a short form such as ``unix:path,server=on``, which ``-qmp`` takes."""
    kind, colon, rest = value.partition(":")
    name = f"-{option} {value}"
    if kind == "unix" and colon:
        return _socket(name, keys(rest, "path"))
    if kind == "tcp" and colon:
        group = keys(rest, "address")
        host, _, port = group.get("address", "").rpartition(":")
        return _socket(name, {"host": host.strip("[]"), "port": port} | group)
    return Unreachable(name, f"it is not a socket: its kind is {kind.partition(',')[0]}")


def _socket(name: str, group: Keys) -> Place:
    """The place of a chardev of the kind ``socket``."""
    if why := _no_server(group):
        return Unreachable(name, why)
    if group.get("fd", "").isdigit():
        return InheritedSocket(int(group["fd"]))
    if "path" in group and is_on(group, "abstract"):
        return AbstractSocket(group["path"], tight="tight" not in group or is_on(group, "tight"))
    if "path" in group:
        if _LIBVIRTS_PROBES.search(group["path"]):
            return Unreachable(name, "libvirt reads from this QEMU what it supports, and must not be disturbed")
        return UnixSocket(group["path"])
    to = group.get("to", "")
    return TcpSocket(group.get("host", ""), group["port"], int(to) if to.isdigit() else None)


def _no_server(group: Keys) -> str:
    """Why no plain client can connect to a socket; empty if one can."""
    if not is_on(group, "server"):
        where = group.get("path") or f"{group.get('host', '')}:{group.get('port', group.get('fd', ''))}"
        return f"it is itself a client, of the process that listens at {where}"
    for wrapped in ("telnet", "websocket", "tn3270"):
        if is_on(group, wrapped):
            return f"its clients must use {wrapped}"
    if group.get("tls-creds"):
        return "its clients must use TLS"
    if "fd" in group and not group["fd"].isdigit():
        return f"the socket with the name {group['fd']} is not known"
    return "" if {"fd", "path", "port"} & group.keys() else "no option says where it listens"
