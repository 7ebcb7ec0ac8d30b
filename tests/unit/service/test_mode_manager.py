"""Modes are put back, whatever else is requested for the same QEMU in between, and fails."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest
from fakedirty.errors import QmpError
from fakedirty.linux.process import running
from fakedirty.model.enums import Mode
from fakedirty.observe.host.target import Target
from fakedirty.service import mode_manager as subject
from fakedirty.service.mode_manager import ModeManager
from fakedirty.service.pending_reverts import read
from modes_guest import Guest

TARGET = Target(os.getpid(), "web", Path("/proc/self/exe"), "qemu", running(os.getpid()).start_ticks, ())


@pytest.fixture
def guest() -> Guest:
    return Guest()


@pytest.fixture
def modes(guest: Guest, tmp_path: Path) -> ModeManager:
    return ModeManager(guest.with_qmp, tmp_path / "reverts")


def test_a_refused_change_leaves_the_pending_revert(guest: Guest, modes: ModeManager, tmp_path: Path) -> None:
    modes.set(TARGET, Mode.SKIP, None, 600)
    _, leave = modes.hold(TARGET, Mode.SKIP, None)
    with pytest.raises(QmpError, match="no such hash"):
        modes.set(TARGET, Mode.OBSERVE, "none")
    assert len(read(tmp_path / "reverts")) == 1
    leave()
    assert guest.mode == "off"


def test_a_mode_is_put_back_when_its_monitor_answers_again(
    guest: Guest, modes: ModeManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject, "AGAIN_SECONDS", 0.01, raising=False)
    back = threading.Event()
    _, leave = modes.hold(TARGET, Mode.SKIP, None)
    execute = guest.execute

    def noticed(command: str, *arguments: Any) -> Any:
        found = execute(command, *arguments)
        if guest.mode == "off":
            back.set()
        return found

    monkeypatch.setattr(guest, "execute", noticed)
    guest.answers = False
    leave()
    assert len(read(tmp_path / "reverts")) == 1, "a service that is killed now leaves it to the next"
    guest.answers = True
    assert back.wait(10)


def test_a_service_that_ends_leaves_what_it_cannot_do(guest: Guest, modes: ModeManager, tmp_path: Path) -> None:
    modes.set(TARGET, Mode.SKIP, None, 600)
    guest.answers = False
    modes.close()
    [written] = read(tmp_path / "reverts")
    assert (written.before[0], written.after[0]) == (Mode.OFF, Mode.SKIP)


def test_what_was_there_for_a_time_is_nothing_to_go_back_to(guest: Guest, modes: ModeManager) -> None:
    _, leave = modes.hold(TARGET, Mode.SKIP, None)
    modes.set(TARGET, Mode.OBSERVE, None, 600)
    leave()
    assert guest.mode == "observe"
    modes.close()
    assert guest.mode == "off"
