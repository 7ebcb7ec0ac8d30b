"""Requests to the service: which QEMU each means, never one of several that share a name; and what is logged."""

from __future__ import annotations

import json
import logging
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
from fakedirty.qmp.parameters import MODE
from fakedirty.record.recorder import read_clock
from fakedirty.service.control import Caller, Held, request, serving
from fakedirty.service.mode_manager import ModeManager
from fakedirty.service.status_api import StatusApi
from made_migrations import EVENTS, made, tell
from made_switchover import DESTINATION, END, SOURCE
from modes_guest import Guest

PID = os.getpid()
TICKS = start_ticks(Path("/proc/self/stat").read_text())
WEB = Target(PID, "web", Path("/proc/self/exe"), "qemu", TICKS, ())
CALLER = Caller(PID, 0)


def api_of(observed: Sequence[Target], running: Sequence[Target]) -> StatusApi:
    observers = [Observer(LiveTrace(target, Level.STOCK), []) for target in observed]
    return StatusApi("run", lambda: observers, read_clock, find=lambda: running)


def refusal(at: StatusApi, **request: object) -> FakedirtyError:
    with pytest.raises(FakedirtyError) as error:
        at.handlers["mode"]({"mode": "skip", **request}, CALLER)
    return error.value


def test_a_name_that_is_one_qemus_alone() -> None:
    found = refusal(api_of([WEB], [WEB]), vm="web")
    assert isinstance(found, QmpError), "that one was meant, and has no socket"
    assert f"web (pid {PID}) has no QMP socket" in str(found)


def test_a_name_of_two_is_of_none_also_where_one_is_not_observed() -> None:
    other = replace(WEB, pid=PID + 1)
    for observed in ([WEB, other], [WEB], [other]):
        found = refusal(api_of(observed, [WEB, other]), vm="web")
        assert isinstance(found, UsageError)
        assert f"pid {PID})" in str(found)
        assert f"pid {PID + 1})" in str(found)


def test_one_that_is_not_observed() -> None:
    assert "is not observed" in str(refusal(api_of([], [WEB]), vm="web"))
    assert "is not observed" in str(refusal(api_of([], [WEB]), pid=PID))


def test_an_id_is_that_of_the_process_that_started_then() -> None:
    assert "has no QMP socket" in str(refusal(api_of([WEB], []), pid=PID))
    assert "has no QMP socket" in str(refusal(api_of([WEB], []), pid=PID, start_ticks=TICKS))
    assert "is not observed" in str(refusal(api_of([WEB], []), pid=PID, start_ticks=TICKS + 1))
    # what the service observed has ended, and the id is another's by now
    gone = replace(WEB, start_ticks=TICKS - 1)
    assert "is not observed" in str(refusal(api_of([gone], []), pid=PID))


def test_an_id_and_a_name_have_to_mean_the_same() -> None:
    assert "has no QMP socket" in str(refusal(api_of([WEB], []), pid=PID, vm="web"))
    assert "no VM named db" in str(refusal(api_of([WEB], []), pid=PID, vm="db"))


def test_the_status_of_a_migration_that_does_not_end_has_what_it_needs() -> None:
    """65,000 pages of 4,096 bytes in 300 ms are 887 MB/s."""
    observer = Observer(LiveTrace(WEB, Level.PATCHED), [])
    observer.migrations.append(tell(made("web"), [], EVENTS[:4], end=False))
    [vm] = StatusApi("run", lambda: [observer], read_clock).status()["vms"]  # type: ignore[misc]
    assert "As it is, it needs 900 MB/s" in vm["verdict"]
    needed = vm["last"]["verdict"]["recommended"]["as_is"]["bandwidth_bytes_per_second"]
    assert needed["expected"] == pytest.approx(887e6, rel=0.016)
    json.dumps(vm)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "fakedirty")
    return caplog


def toggling(guest: Guest) -> StatusApi:
    """With a QEMU that takes a mode."""
    api = api_of([WEB], [WEB])
    api.modes = ModeManager(guest.with_qmp)
    return api


@pytest.mark.parametrize(
    ("request_", "reported"),
    [
        ({}, "mode skip, hash xxh3-64, for process 7 of user 1000"),
        ({"revert_after": 600}, "mode skip, hash xxh3-64 for 600 s, for process 7 of user 1000"),
        ({"hold": True}, "mode skip, hash xxh3-64 while it stays, for process 7 of user 1000"),
    ],
)
def test_a_toggle_is_logged_with_who_made_it(
    request_: dict[str, object], reported: str, log: pytest.LogCaptureFixture
) -> None:
    api = toggling(Guest())
    api.handlers["mode"]({"mode": "skip", "vm": "web", **request_}, Caller(7, 1000))
    assert log.messages == [f"web (pid {PID}): {reported}"]
    log.clear()
    api.modes.close()
    put_back = [f"web (pid {PID}): the service ends: mode off, hash xxh3-64, put back"]
    assert log.messages == (put_back if request_ else [])


def test_a_mode_that_somebody_has_changed_since_is_logged_as_left(log: pytest.LogCaptureFixture) -> None:
    guest = Guest()
    api = toggling(guest)
    held = api.handlers["mode"]({"mode": "skip", "vm": "web", "hold": True}, CALLER)
    assert isinstance(held, Held)
    guest.parameters[MODE] = "observe"
    log.clear()
    held.release()
    assert log.messages == [
        f"web (pid {PID}): the client that held the mode has left: mode observe, hash xxh3-64, "
        "left, as it has been changed since"
    ]
    assert guest.mode == "observe"


def test_a_request_that_is_refused_is_logged_with_who_made_it(tmp_path: Path, log: pytest.LogCaptureFixture) -> None:
    api = toggling(Guest())
    with serving(tmp_path / "control", api.handlers):
        with pytest.raises(FakedirtyError):
            request("mode", path=tmp_path / "control", mode="skip", vm="wbe")
        with pytest.raises(FakedirtyError):
            request("stop", path=tmp_path / "control")
    mode, stop = log.messages
    assert mode.startswith(f"refused mode of process {PID} of user {os.geteuid()}: no VM named wbe")
    assert stop.startswith(f"refused stop of process {PID} of user {os.geteuid()}: no command 'stop'")


def test_the_status_has_where_the_downtime_went() -> None:
    api = api_of([WEB], [WEB])
    (vm,) = api.status()["vms"]  # type: ignore[misc]
    assert vm["downtime"] is None
    observer = Observer(LiveTrace(WEB, Level.PATCHED), [])
    observer.migrations.append(tell(made(), [], (*SOURCE, *DESTINATION, *END)))
    (vm,) = StatusApi("run", lambda: [observer], read_clock).status()["vms"]  # type: ignore[misc]
    assert vm["downtime"].startswith("The guest was stopped for 70 ms: last RAM 34 ms")
