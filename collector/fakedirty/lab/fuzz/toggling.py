"""Sets the toggles of a fuzzed migration, and notes those that QEMU has adopted."""

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
from fakedirty.qmp.parameters import AUDIT as AUDIT_PARAMETER
from fakedirty.qmp.parameters import HASH, MODE

from .coverage import AUDIT, BEFORE, BETWEEN, BULK, CANCELLED, LATER, RETRIED, SWITCHOVER, AdoptedToggle, toggle_kinds
from .plans.plan import Toggle

# An iteration, and the pause that a limited bandwidth adds. A toggle that takes longer is not counted.
ADOPT_SECONDS = 0.3
ADOPT_POLL_SECONDS = 0.01


class ToggleDriver:
    """Sets modes and hashes in one attempt, and keeps the toggles that took effect.

    `features` are those of the plan, which every toggle meets.
    """

    def __init__(self, features: tuple[str, ...], *, retried: bool) -> None:
        self._features = (*features, RETRIED) if retried else features
        self._idle_moment = BETWEEN if retried else BEFORE
        self._before: list[AdoptedToggle] = []
        self._during: list[AdoptedToggle] = []
        self._stopped: tuple[tuple[Mode, str], Toggle] | None = None
        self._attempt_features: list[str] = []

    def adopted(self, final: Mapping[str, Any]) -> list[AdoptedToggle]:
        """The toggles that took effect in the attempt.

        Of the toggles that were set with the VM stopped, the switchover adopts the last one.

        Args:
            final: ``query-migrate`` at the end of the attempt. A cancel may have been too late.
        """
        during = self._during
        if self._stopped:
            before, last = self._stopped
            if final["status"] == "completed" and _in_effect(final, last.hash) == (last.mode, last.hash):
                during = [*during, self._toggle(last, before, SWITCHOVER)]
        more = self._attempt_features
        if final["status"] == "cancelled":
            more = [*more, CANCELLED]
        return [*self._before, *(replace(toggle, features=(*toggle.features, *more)) for toggle in during)]

    def add_feature(self, feature: str) -> None:
        """Note something else that happened in the attempt: all of its toggles meet it."""
        self._attempt_features.append(feature)

    def set_before(self, toggle: Toggle, qmp: Qmp) -> None:
        """Set a toggle while no migration runs."""
        mode, hash_name = read_mode(qmp)
        before = mode, hash_name or toggle.hash
        once_cleaned_up(lambda: _set(toggle, qmp))
        self._before.append(AdoptedToggle(toggle_kinds(before, (toggle.mode, toggle.hash)), (self._idle_moment,)))

    def set(self, toggle: Toggle, qmp: Qmp) -> None:
        """Set a toggle while a migration runs. It counts if QEMU adopts it."""
        info = qmp.execute("query-migrate")
        before, after = _in_effect(info, toggle.hash), (toggle.mode, toggle.hash)
        _set(toggle, qmp)
        if info["status"] == PAUSED:
            self._stopped = self._stopped[0] if self._stopped else before, toggle
            return
        moment = BULK if info.get("ram", {}).get("dirty-sync-count", 0) <= 1 else LATER
        if not toggle.hasty and _is_adopted(after, qmp):
            self._during.append(self._toggle(toggle, before, moment))

    def _toggle(self, toggle: Toggle, before: tuple[Mode, str], moment: str) -> AdoptedToggle:
        own = (toggle.hash, moment) if toggle.audit is None else (toggle.hash, moment, AUDIT[toggle.audit])
        return AdoptedToggle(toggle_kinds(before, (toggle.mode, toggle.hash)), (*self._features, *own))


def _set(toggle: Toggle, qmp: Qmp) -> None:
    audit = {} if toggle.audit is None else {AUDIT_PARAMETER: toggle.audit}
    qmp.execute("migrate-set-parameters", {MODE: str(toggle.mode), HASH: toggle.hash, **audit})


def _in_effect(info: Mapping[str, Any], hash_name: str) -> tuple[Mode, str]:
    """Mode and hash in effect, by ``query-migrate``: off, with `hash_name`, where the mode was never on."""
    totals = info.get("fake-dirty")
    return (Mode(Mode.parse(totals["mode"])), totals.get("hash", hash_name)) if totals else (Mode.OFF, hash_name)


def _is_adopted(toggle: tuple[Mode, str], qmp: Qmp) -> bool:
    """Whether mode and hash take effect soon, while the migration is active."""
    deadline = time.monotonic() + ADOPT_SECONDS
    while time.monotonic() < deadline:
        info = qmp.execute("query-migrate")
        if info["status"] != "active":
            return False
        if _in_effect(info, toggle[1]) == toggle:
            return True
        time.sleep(ADOPT_POLL_SECONDS)
    return False
