"""Which QEMU the service takes a request to mean: a process, and never one of several that share a name."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from fakedirty.errors import FakedirtyError, QmpError, UsageError
from fakedirty.linux.process import start_ticks
from fakedirty.model.enums import Level
from fakedirty.observe.host.target import Target
from fakedirty.observe.live import LiveTrace
from fakedirty.observe.observer import Observer
from fakedirty.record.recorder import read_clock
from fakedirty.service.control import Caller
from fakedirty.service.status_api import StatusApi

PID = os.getpid()
TICKS = start_ticks(Path("/proc/self/stat").read_text())
WEB = Target(PID, "web", Path("/proc/self/exe"), "qemu", TICKS, ())
ASKER = Caller(PID, 0)


def desk(observed: Sequence[Target], running: Sequence[Target]) -> StatusApi:
    observers = [Observer(LiveTrace(target, Level.STOCK), []) for target in observed]
    return StatusApi("run", lambda: observers, read_clock, find=lambda: running)


def refusal(at: StatusApi, **request: object) -> FakedirtyError:
    with pytest.raises(FakedirtyError) as error:
        at.handlers["mode"]({"mode": "skip", **request}, ASKER)
    return error.value


def test_a_name_that_is_one_qemus_alone() -> None:
    found = refusal(desk([WEB], [WEB]), vm="web")
    assert isinstance(found, QmpError), "that one was meant, and has no socket"
    assert f"web (pid {PID}) has no QMP socket" in str(found)


def test_a_name_of_two_is_of_none_also_where_one_is_not_observed() -> None:
    other = replace(WEB, pid=PID + 1)
    for observed in ([WEB, other], [WEB], [other]):
        found = refusal(desk(observed, [WEB, other]), vm="web")
        assert isinstance(found, UsageError)
        assert f"pid {PID})" in str(found)
        assert f"pid {PID + 1})" in str(found)


def test_one_that_is_not_observed() -> None:
    assert "is not observed" in str(refusal(desk([], [WEB]), vm="web"))
    assert "is not observed" in str(refusal(desk([], [WEB]), pid=PID))


def test_an_id_is_that_of_the_process_that_started_then() -> None:
    assert "has no QMP socket" in str(refusal(desk([WEB], []), pid=PID))
    assert "has no QMP socket" in str(refusal(desk([WEB], []), pid=PID, start_ticks=TICKS))
    assert "is not observed" in str(refusal(desk([WEB], []), pid=PID, start_ticks=TICKS + 1))
    # what the service observed has ended, and the id is another's by now
    gone = replace(WEB, start_ticks=TICKS - 1)
    assert "is not observed" in str(refusal(desk([gone], []), pid=PID))


def test_an_id_and_a_name_have_to_mean_the_same() -> None:
    assert "has no QMP socket" in str(refusal(desk([WEB], []), pid=PID, vm="web"))
    assert "no VM named db" in str(refusal(desk([WEB], []), pid=PID, vm="db"))
