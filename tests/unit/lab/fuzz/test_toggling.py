"""Toggles of a fuzzed migration: what counts as taken, with a QEMU that is only told about."""

from __future__ import annotations

from typing import Any, cast

import pytest
from fakedirty.lab.fuzz.coverage import CANCELLED, FORCED, SWITCHOVER, Taken
from fakedirty.lab.fuzz.plan import Toggle
from fakedirty.lab.fuzz.toggling import ToggleDriver
from fakedirty.lab.migrate import PAUSED
from fakedirty.model.enums import Mode
from fakedirty.qmp.client import Qmp

SKIP, OBSERVE = Toggle(Mode.SKIP, "sha1"), Toggle(Mode.OBSERVE, "md5")


def info(mode: str, hash_name: str, status: str = PAUSED) -> dict[str, Any]:
    return {"status": status, "fake-dirty": {"mode": mode, "hash": hash_name}}


class Stopped:
    """A QEMU with the VM stopped for the switchover, where the mode was off."""

    def execute(self, command: str, *_arguments: object) -> dict[str, Any]:
        return info("off", "md5") if command == "query-migrate" else {}


def toggled(*toggles: Toggle) -> ToggleDriver:
    toggling = ToggleDriver(("tcg",), retried=False)
    for toggle in toggles:
        toggling.set(toggle, cast(Qmp, Stopped()))
    return toggling


def test_the_switchover_adopts_what_was_set_last() -> None:
    (taken,) = toggled(OBSERVE, SKIP).taken(info("skip", "sha1", "completed"))
    assert taken == Taken(("off→skip",), ("tcg", "sha1", SWITCHOVER))


@pytest.mark.parametrize("final", [info("off", "md5", "completed"), info("skip", "sha1", "cancelled")])
def test_what_the_switchover_did_not_adopt_is_not_taken(final: dict[str, Any]) -> None:
    assert toggled(SKIP).taken(final) == []


def test_all_toggles_of_an_attempt_meet_what_happened_in_it() -> None:
    toggling = toggled(SKIP)
    toggling.meet(FORCED)
    (taken,) = toggling.taken(info("skip", "sha1", "completed"))
    assert FORCED in taken.features
    assert CANCELLED not in taken.features
