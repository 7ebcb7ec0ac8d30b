"""A command is repeated if QEMU has not cleaned up its last migration yet, and for no other reason."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, cast

import pytest
from fakedirty.lab.cleanup_retry import once_cleaned_up
from fakedirty.lab.migrate import POLL_SECONDS, Step, _Schedule
from fakedirty.qmp.client import Qmp, QmpRefusedError

NOT_YET = "The last migration has not been cleaned up yet"
DECIDED = "fake-dirty-mode cannot be changed any more: the switchover of the migration has been decided"


def refusing(words: str, times: int) -> Callable[[], int]:
    """A command that is refused so many times; then it returns how often it was given."""
    given = 0

    def command() -> int:
        nonlocal given
        given += 1
        if given <= times:
            raise QmpRefusedError("migrate", "GenericError", words)
        return given

    return command


@pytest.mark.parametrize("words", [NOT_YET, DECIDED])
def test_a_command_is_repeated_until_qemu_takes_it(words: str) -> None:
    assert once_cleaned_up(refusing(words, 3)) == 4


def test_a_command_is_repeated_for_a_limited_time() -> None:
    began = time.monotonic()
    with pytest.raises(QmpRefusedError, match="not been cleaned up"):
        once_cleaned_up(refusing(NOT_YET, 10**9), seconds=0.1)
    assert time.monotonic() - began >= 0.1


def test_another_refusal_is_final() -> None:
    command = refusing("There's a migration process in progress", 1)
    with pytest.raises(QmpRefusedError, match="in progress"):
        once_cleaned_up(command)
    assert command() == 2, "it was given once"


def test_a_step_that_comes_after_the_decision_is_not_taken_and_no_fault() -> None:
    taken = []

    def late(_qmp: Qmp) -> None:
        refusing(DECIDED, 1)()
        taken.append("late")

    def wrong(_qmp: Qmp) -> None:
        refusing("out of memory", 1)()

    schedule = _Schedule([Step(late, after_round=0), Step(lambda _qmp: taken.append("next"), after_round=0)], 0.0)
    schedule.take(cast(Any, None))
    assert taken == ["next"]
    with pytest.raises(QmpRefusedError, match="memory"):
        _Schedule([Step(wrong, after_round=0)], 0.0).take(cast(Any, None))


def test_a_step_waits_for_what_it_is_about_and_nothing_spins_meanwhile() -> None:
    taken: list[str] = []
    step = Step(lambda _qmp: taken.append("taken"), after_seconds=0.0, ready=lambda: bool(there))
    there: list[str] = []
    now = time.monotonic()
    schedule = _Schedule([step], now)
    schedule.take(cast(Any, None))
    assert taken == []
    assert schedule.wait(now + 1000) == POLL_SECONDS
    assert schedule.wait(now) == 0.0
    there.append("it")
    schedule.take(cast(Any, None))
    schedule.take(cast(Any, None))
    assert taken == ["taken"]
