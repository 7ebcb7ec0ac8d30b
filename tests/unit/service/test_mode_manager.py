"""What the service has promised of modes holds, whatever else is wanted of the same QEMU meanwhile, and fails."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from fakedirty.errors import QmpError
from fakedirty.linux.process import running
from fakedirty.model.enums import Mode
from fakedirty.observe.host.target import Target
from fakedirty.qmp.parameters import HASH, MODE
from fakedirty.service import mode_manager as subject
from fakedirty.service.mode_manager import Change, ModeManager
from fakedirty.service.pending_reverts import State, read

TARGET = Target(os.getpid(), "web", Path("/proc/self/exe"), "qemu", running(os.getpid()).start_ticks, ())


class Guest:
    """The parameters of a QEMU, and whether its monitor answers."""

    path = Path("monitor")

    def __init__(self) -> None:
        self.parameters: dict[str, object] = {MODE: "off", HASH: "xxh3-64"}
        self.answers = True

    @property
    def mode(self) -> object:
        """As it is."""
        return self.parameters[MODE]

    def execute(self, command: str, arguments: Mapping[str, object] | None = None, /, **named: object) -> Any:
        """What is needed to set a mode."""
        if command == "query-qmp-schema":
            return [{"name": "migrate-set-parameters", "arg-type": "1"}, {"name": "1", "members": [{"name": MODE}]}]
        if command == "migrate-set-parameters":
            if (arguments or {}).get(HASH) == "none":
                raise QmpError("no such hash")
            self.parameters |= arguments or {}
        return dict(self.parameters)

    def with_qmp(self, _target: Target, change: Change) -> State:
        """As the service does it."""
        if not self.answers:
            raise QmpError("the socket is held by another")
        return change(self)  # type: ignore[arg-type]


@pytest.fixture
def guest() -> Guest:
    return Guest()


@pytest.fixture
def modes(guest: Guest, tmp_path: Path) -> ModeManager:
    return ModeManager(guest.with_qmp, tmp_path / "promises")


def test_what_is_refused_leaves_what_was_promised(guest: Guest, modes: ModeManager, tmp_path: Path) -> None:
    modes.set(TARGET, Mode.SKIP, None, 600)
    _, leave = modes.hold(TARGET, Mode.SKIP, None)
    with pytest.raises(QmpError, match="no such hash"):
        modes.set(TARGET, Mode.OBSERVE, "none")
    assert len(read(tmp_path / "promises")) == 1
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
    assert len(read(tmp_path / "promises")) == 1, "a service that is killed now leaves it to the next"
    guest.answers = True
    assert back.wait(10)


def test_a_service_that_ends_leaves_what_it_cannot_do(guest: Guest, modes: ModeManager, tmp_path: Path) -> None:
    modes.set(TARGET, Mode.SKIP, None, 600)
    guest.answers = False
    modes.close()
    [written] = read(tmp_path / "promises")
    assert (written.before[0], written.after[0]) == (Mode.OFF, Mode.SKIP)


def test_what_was_there_for_a_time_is_nothing_to_go_back_to(guest: Guest, modes: ModeManager) -> None:
    _, leave = modes.hold(TARGET, Mode.SKIP, None)
    modes.set(TARGET, Mode.OBSERVE, None, 600)
    leave()
    assert guest.mode == "observe"
    modes.close()
    assert guest.mode == "off"
