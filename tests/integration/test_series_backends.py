"""Memory backends that come and go during a migration: the list of RAM blocks changes, those of the guest do not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from fakedirty.lab.guests.workload import Workload
from fakedirty.lab.machine import Machine
from fakedirty.lab.migrate import PAUSED, Settings, Step, migrate
from fakedirty.qmp.client import Qmp
from series import SLOW, assert_equal, let_through, pair, rounds

History = list[Mapping[str, Any]]

BACKENDS = 3
TRIES = 3
ROUNDS = 3 * BACKENDS + 2
# so much changes that no round ends before the guest has rewritten it
BUSY = Workload(fake=2000, changed=3000, zero=300, aba=300, untouched=500, pause_ms=2, memory_mib=64)
ALTERNATING = Workload(fake=500, changed=3000, zero=1300, aba=4000, pause_ms=2, memory_mib=64)


def add(name: str) -> Callable[[Qmp], object]:
    backend = {"qom-type": "memory-backend-ram", "id": name, "size": 8 << 20}
    return lambda qmp: qmp.execute("object-add", backend)


def remove(name: str) -> Callable[[Qmp], object]:
    return lambda qmp: qmp.execute("object-del", id=name)


def migrated(source: Machine, destination: Machine, mode: str, *, xbzrle: bool) -> History:
    """Migrate with the list changing twice in three rounds; memory is equal, and every round is conserved."""
    steps = []
    for number in range(BACKENDS):
        steps.append(Step(add(f"spare{number}"), after_round=2 + 3 * number))
        steps.append(Step(remove(f"spare{number}"), after_round=3 + 3 * number))
    parameters = {"fake-dirty-mode": mode, "fake-dirty-switchover": False}
    settings = Settings(1, 4 * SLOW, parameters=parameters, capabilities={"xbzrle": xbzrle})
    outcome = migrate(source, destination, settings, time_limit=60, steps=[*steps, let_through(ROUNDS)])
    assert outcome.status == "completed"
    assert_equal(source, destination)
    return rounds(source.qmp)


def with_a_changing_list(workload: Workload, mode: str, *, xbzrle: bool) -> History:
    """Rounds in which the list changed as often as it should.

    A guest that a busy machine keeps from running for a whole round leaves nothing dirty, and the migration is over.
    """
    for _ in range(TRIES):
        with pair(workload) as (source, destination):
            history = migrated(source, destination, mode, xbzrle=xbzrle)
        if len(history) >= ROUNDS:
            return history
    pytest.fail(f"{TRIES} migrations ended before the list had changed, the last one after {len(history)} rounds")


@pytest.mark.parametrize("mode", ["observe", "skip"])
def test_a_changed_list_makes_no_page_unknown_and_none_wrong(mode: str) -> None:
    history = with_a_changing_list(BUSY, mode, xbzrle=False)
    later = [each for each in history if each["kind"] != "bulk"]
    assert sum(each["first"] for each in later) == 0, "what was sent before the list changed is still known"
    assert sum(each["fake"] for each in later) > 1000
    assert (sum(each["skipped"] for each in later) > 1000) is (mode == "skip")


def test_a_list_that_changes_before_the_switchover_makes_no_page_unknown() -> None:
    """The switchover was decided by what is known; forgetting it would send all that is left."""

    def change(qmp: Qmp) -> None:
        add("late")(qmp)
        qmp.execute("migrate-continue", state=PAUSED)

    parameters = {"fake-dirty-mode": "skip", "fake-dirty-switchover": False}
    settings = Settings(1, 4 * SLOW, parameters=parameters, capabilities={"pause-before-switchover": True})
    steps = [let_through(after_round=3), Step(change, in_state=PAUSED)]
    with pair(BUSY) as (source, destination):
        outcome = migrate(source, destination, settings, time_limit=60, steps=steps)
        assert outcome.status == "completed"
        assert_equal(source, destination)
        last = rounds(source.qmp)[-1]
    assert last["kind"] == "switchover"
    assert last["first"] == 0
    assert last["skipped"] > 0


@pytest.mark.parametrize("mode", ["off", "skip"])
def test_xbzrle_bears_a_changed_list(mode: str) -> None:
    with_a_changing_list(ALTERNATING, mode, xbzrle=True)
