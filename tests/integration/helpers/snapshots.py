"""A disk that snapshots go into."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fakedirty.qmp.client import Qmp
from jobs import finish

DISK_BYTES = 16 << 20
DISK = "disk"  # the name of its node


def create(qmp: Qmp, path: Path) -> None:
    """A qcow2 image, made by QEMU itself, and open as node `disk`."""
    file: dict[str, object] = {"driver": "file", "filename": str(path)}
    finish(qmp, "blockdev-create", {"options": {**file, "size": 0}})
    qmp.execute("blockdev-add", {**file, "node-name": "file"})
    disk: dict[str, object] = {"driver": "qcow2", "file": "file"}
    finish(qmp, "blockdev-create", {"options": {**disk, "size": DISK_BYTES}})
    qmp.execute("blockdev-add", {**disk, "node-name": DISK})


def snapshot(tag: str) -> dict[str, object]:
    """What the jobs `snapshot-save` and `snapshot-load` are given."""
    return {"tag": tag, "vmstate": DISK, "devices": [DISK]}


def write(qmp: Qmp, path: Path, data: bytes) -> None:
    """All of the disk, from a file at `path`."""
    path.write_bytes(data)
    with _raw(qmp, path) as node:
        _copy(qmp, node, DISK)


def read(qmp: Qmp, path: Path) -> bytes:
    """All of the disk, by way of a file at `path`."""
    path.write_bytes(bytes(DISK_BYTES))
    with _raw(qmp, path) as node:
        _copy(qmp, DISK, node)
    return path.read_bytes()


@contextmanager
def _raw(qmp: Qmp, path: Path) -> Iterator[str]:
    """A file as a node. It is gone afterwards: no snapshot is taken where one of the disks is raw."""
    qmp.execute("blockdev-add", {"driver": "file", "filename": str(path), "node-name": "raw"})
    yield "raw"
    qmp.execute("blockdev-del", {"node-name": "raw"})


def _copy(qmp: Qmp, source: str, target: str) -> None:
    finish(qmp, "blockdev-backup", {"device": source, "target": target, "sync": "full", "auto-dismiss": False})
