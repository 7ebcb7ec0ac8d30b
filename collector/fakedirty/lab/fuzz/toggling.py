"""Toggles, taken in a fuzzed migration: set, and counted where QEMU has adopted them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fakedirty.lab.cleanup_retry import once_cleaned_up
from fakedirty.lab.migrate import PAUSED
from fakedirty.model.enums import Mode
from fakedirty.qmp.client import Qmp
from fakedirty.qmp.mode import read_mode
from fakedirty.qmp.parameters import HASH, MODE

from .coverage import AUDIT, BEFORE, BETWEEN, BULK, CANCELLED, LATER, RETRIED, SWITCHOVER, Taken, toggle_kinds
from .plan import AUDIT_PARAMETER, Toggle

ADOPT_SECONDS = 0.3  # an iteration, and the rest that a limited bandwidth brings; longer, and it is not counted
ADOPT_POLL_SECONDS = 0.01


class ToggleDriver:
    """Sets modes and hashes in one attempt, and keeps what took effect. `features` are those of the plan."""

    def __init__(self, features: tuple[str, ...], *, retried: bool) -> None:
        self._features = (*features, RETRIED) if retried else features
        self._rest = BETWEEN if retried else BEFORE
        self._before: list[Taken] = []
        self._during: list[Taken] = []
        self._stopped: tuple[tuple[Mode, str], Toggle] | None = None
        self._met: list[str] = []

    def taken(self, final: Mapping[str, Any]) -> list[Taken]:
        """What took effect in an attempt at whose end query-migrate says `final`: a cancel may have come too late.

        The switchover adopts what was last set before it goes on, all in one.
        """
        during = self._during
        if self._stopped:
            before, last = self._stopped
            if final["status"] == "completed" and _adopted(final, last.hash) == (last.mode, last.hash):
                during = [*during, self._taken(last, before, SWITCHOVER)]
        more = (*self._met, CANCELLED) if final["status"] == "cancelled" else self._met
        return [*self._before, *(replace(taken, features=(*taken.features, *more)) for taken in during)]

    def meet(self, feature: str) -> None:
        """Something else happened in the attempt, which all of its toggles meet."""
        self._met.append(feature)

    def set_before(self, toggle: Toggle, qmp: Qmp) -> None:
        """While no migration runs."""
        mode, hash_name = read_mode(qmp)
        before = mode, hash_name or toggle.hash
        once_cleaned_up(lambda: _set(toggle, qmp))
        self._before.append(Taken(toggle_kinds(before, (toggle.mode, toggle.hash)), (self._rest,)))

    def set(self, toggle: Toggle, qmp: Qmp) -> None:
        """While one runs. It counts once it is adopted."""
        info = qmp.execute("query-migrate")
        before, after = _adopted(info, toggle.hash), (toggle.mode, toggle.hash)
        _set(toggle, qmp)
        if info["status"] == PAUSED:
            self._stopped = self._stopped[0] if self._stopped else before, toggle
            return
        moment = BULK if info.get("ram", {}).get("dirty-sync-count", 0) <= 1 else LATER
        if not toggle.hasty and _is_adopted(after, qmp):
            self._during.append(self._taken(toggle, before, moment))

    def _taken(self, toggle: Toggle, before: tuple[Mode, str], moment: str) -> Taken:
        met = (toggle.hash, moment) if toggle.audit is None else (toggle.hash, moment, AUDIT[toggle.audit])
        return Taken(toggle_kinds(before, (toggle.mode, toggle.hash)), (*self._features, *met))


def _set(toggle: Toggle, qmp: Qmp) -> None:
    audit = {} if toggle.audit is None else {AUDIT_PARAMETER: toggle.audit}
    qmp.execute("migrate-set-parameters", {MODE: str(toggle.mode), HASH: toggle.hash, **audit})


def _adopted(info: Mapping[str, Any], hash_name: str) -> tuple[Mode, str]:
    """What is in effect, by query-migrate; off, with no other hash, where the mode has never been on."""
    totals = info.get("fake-dirty")
    return (Mode(Mode.parse(totals["mode"])), totals.get("hash", hash_name)) if totals else (Mode.OFF, hash_name)


def _is_adopted(wanted: tuple[Mode, str], qmp: Qmp) -> bool:
    """Whether it takes effect soon, and in a migration that runs."""
    deadline = time.monotonic() + ADOPT_SECONDS
    while time.monotonic() < deadline:
        info = qmp.execute("query-migrate")
        if info["status"] != "active":
            return False
        if _adopted(info, wanted[1]) == wanted:
            return True
        time.sleep(ADOPT_POLL_SECONDS)
    return False
