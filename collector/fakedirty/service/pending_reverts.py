"""The file of pending reverts: modes that a service still has to put back. After a kill, the next service does it."""

from __future__ import annotations

import json
import logging
import os
import stat
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from fakedirty.model.enums import Mode
from fakedirty.qmp.mode import State
from fakedirty.record.durable import write_json

_KEY = "promises"  # of the list in the file: an earlier version of the service must be able to read it

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PendingRevert:
    """The QEMU of a process has to get `before` back, if it still has `after`.

    `due` is in seconds of the host's monotonic clock; None if it is due when a client has left.
    """

    pid: int
    start_ticks: int
    before: State
    after: State
    due: float | None


def write(path: Path, reverts: Iterable[PendingRevert]) -> None:
    """Write all pending reverts; without any, remove the file. A failure of the disk is only logged."""
    content = [asdict(each) | {"before": _as_list(each.before), "after": _as_list(each.after)} for each in reverts]
    try:
        if content:
            write_json(path, {_KEY: content})
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        _log.warning("if this service is killed, the next one puts no mode back: %s", error)


def read(path: Path) -> list[PendingRevert]:
    """The reverts that an earlier service has left; none where the file cannot be read, or others can write it."""
    try:
        found = json.loads(_own_text(path))[_KEY]
        return [
            PendingRevert(
                pid=int(each["pid"]),
                start_ticks=int(each["start_ticks"]),
                before=_state(*each["before"]),
                after=_state(*each["after"]),
                due=None if each["due"] is None else float(each["due"]),
            )
            for each in found
        ]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        _log.warning("%s is ignored, so modes that an earlier service set may still be on: %s", path, error)
        return []


def _own_text(path: Path) -> str:
    """The text of a file that only this user can have written. Raises OSError."""
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW)) as file:
        found = os.fstat(file.fileno())
        if found.st_uid != os.geteuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise PermissionError(f"others than user {os.geteuid()} can write it")
        return file.read()


def _as_list(state: State) -> list[str | None]:
    return [str(state[0]), state[1]]


def _state(mode: str, hash_name: str | None) -> State:
    return Mode.parse(mode), None if hash_name is None else str(hash_name)
