"""Toggles of a fuzzed migration: those that count as adopted, with a QEMU that is a table of answers."""

from __future__ import annotations

from typing import Any, cast

import pytest
from fakedirty.lab.fuzz.coverage import CANCELLED, FORCED, SWITCHOVER, AdoptedToggle
from fakedirty.lab.fuzz.plans.plan import Toggle
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
    driver = ToggleDriver(("tcg",), retried=False)
    for toggle in toggles:
        driver.set(toggle, cast(Qmp, Stopped()))
    return driver


def test_the_switchover_adopts_what_was_set_last() -> None:
    [toggle] = toggled(OBSERVE, SKIP).adopted(info("skip", "sha1", "completed"))
    assert toggle == AdoptedToggle(("off→skip",), ("tcg", "sha1", SWITCHOVER))


@pytest.mark.parametrize("final", [info("off", "md5", "completed"), info("skip", "sha1", "cancelled")])
def test_a_toggle_that_the_switchover_did_not_adopt_does_not_count(final: dict[str, Any]) -> None:
    assert toggled(SKIP).adopted(final) == []


def test_all_toggles_of_an_attempt_have_its_features() -> None:
    driver = toggled(SKIP)
    driver.add_feature(FORCED)
    [toggle] = driver.adopted(info("skip", "sha1", "completed"))
    assert FORCED in toggle.features
    assert CANCELLED not in toggle.features
