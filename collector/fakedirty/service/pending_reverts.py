"""What was promised of modes, on disk: a service that was killed leaves it to the one that comes after it."""

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

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PendingReverts:
    """That the QEMU of a process is to get `before` back where it has `after`.

    `due` is in seconds of the host's monotonic clock; None is for as long as somebody stays.
    """

    pid: int
    start_ticks: int
    before: State
    after: State
    due: float | None


def write(path: Path, promises: Iterable[PendingReverts]) -> None:
    """All that is promised now; no file where that is nothing. A disk that fails is said in the log."""
    content = [asdict(each) | {"before": _spell(each.before), "after": _spell(each.after)} for each in promises]
    try:
        if content:
            write_json(path, {"promises": content})
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        _log.warning("a service that is killed now puts no mode back: %s", error)


def read(path: Path) -> list[PendingReverts]:
    """What an earlier service promised and did not live to do; nothing where that cannot be read or is not its own."""
    try:
        found = json.loads(_own(path))["promises"]
        return [
            PendingReverts(
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
        _log.warning("%s is left out: modes that an earlier service set may still be on (%s)", path, error)
        return []


def _own(path: Path) -> str:
    """The text of a file that nobody else can have written. Raises OSError."""
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW)) as file:
        found = os.fstat(file.fileno())
        if found.st_uid != os.geteuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise PermissionError(f"others than user {os.geteuid()} can write it")
        return file.read()


def _spell(state: State) -> list[str | None]:
    return [str(state[0]), state[1]]


def _state(mode: str, hash_name: str | None) -> State:
    return Mode.parse(mode), None if hash_name is None else str(hash_name)
