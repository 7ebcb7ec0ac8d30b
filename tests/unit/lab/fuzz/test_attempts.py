"""The attempts of a plan: their ends, retries and checks, with machines that are tables of answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

import pytest
from fakedirty.errors import LabError
from fakedirty.lab.fuzz import attempts as module
from fakedirty.lab.fuzz.attempts import LOST, Attempts
from fakedirty.lab.fuzz.coverage import BEFORE, CANCELLED
from fakedirty.lab.fuzz.fault_injection import ARRIVED, ArrivedError
from fakedirty.lab.fuzz.plans.faults import KILLED, LINK_IN_POSTCOPY, Fault
from fakedirty.lab.fuzz.plans.memory_layouts import ONE_BLOCK
from fakedirty.lab.fuzz.plans.moment import Moment
from fakedirty.lab.fuzz.plans.plan import Attempt, Plan, Toggle
from fakedirty.lab.fuzz.result import FuzzResult
from fakedirty.lab.guests.workload import PROBE
from fakedirty.lab.machine import Machine
from fakedirty.lab.memory_compare import ComparedBlock, DifferingPage, MemoryReport
from fakedirty.lab.migrate import PAUSED, MigrationResult, Settings, Step
from fakedirty.lab.rig import Rig
from fakedirty.model.enums import Mode
from fakedirty.qmp.client import Qmp

EQUAL = MemoryReport((ComparedBlock("pc.ram", 512, "a", "a"),), ())
TOTALS = {"skipped": 2000, "saved-bytes": 8_000_000, "mode": "skip", "hash": "sha1"}
NO_PAGES = dict.fromkeys(("forced", "forced-syncs", "xbzrle", "unchanged", "left", "hinted", "first", "zero"), 0)
ROUND = {
    **NO_PAGES,
    "round": 2,
    "kind": "iterative",
    "mode": "skip",
    "hash": "sha1",
    "start": 0,
    "end": 1,
    "hash-time": 0,
    "dirty": 1010,
    "visited": 1010,
    "changed": 10,
    "fake": 1000,
    "normal": 10,
    "skipped": 1000,
    "transferred": 0,
    "saved-bytes": 4_000_000,
}


class Answers:
    """A QEMU that answers each command by a table, and runs a guest."""

    def __init__(self, **answers: Any) -> None:
        self.answers = {"query-status": {"status": "running", "running": True}, **answers}
        self.commands: list[str] = []

    def execute(self, command: str, *_arguments: object, **_more: object) -> Any:
        self.commands.append(command)
        return self.answers.get(command, {})


class AnsweringMachine:
    """A machine with such a QEMU."""

    pid, end = 1, None

    def __init__(self, qmp: Answers) -> None:
        self.qmp = qmp

    def check_alive(self) -> None:
        """It always is."""


class CountingTestbed:
    """Starts destinations, and counts them."""

    def __init__(self) -> None:
        self.destinations = 0

    @contextmanager
    def destination(self) -> Iterator[Machine]:
        self.destinations += 1
        yield cast(Machine, AnsweringMachine(Answers()))


def outcome(status: str, **more: Any) -> MigrationResult:
    final = {"status": status, "ram": {"normal": 20, "duplicate": 0}, "fake-dirty": TOTALS, **more}
    return MigrationResult(status, True, 1.0, final, final)


class Laboratory:
    """Runs the attempts of one plan; each call of `migrate` has the next of its outcomes."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, *attempts: Attempt, outcomes: Sequence[MigrationResult | Exception]
    ):
        plan = Plan(
            seed=1,
            index=0,
            workload=PROBE,
            vcpus=1,
            accelerator="tcg",
            memory=ONE_BLOCK,
            bandwidth_bytes=10**9,
            downtime_limit_ms=300,
            capabilities=dict.fromkeys(("xbzrle", "auto-converge", "pause-before-switchover"), False),
            parameters={"fake-dirty-switchover": True},
            attempts=attempts,
        )
        self.result = FuzzResult(plan)
        self.rig = CountingTestbed()
        self.qmp = Answers(**{"query-migrate-parameters": {"fake-dirty-mode": "off", "fake-dirty-hash": "sha1"}})
        self.steps: Sequence[Step] = ()
        left = list(outcomes)

        def migrate(*_arguments: object, steps: Sequence[Step], **_more: object) -> MigrationResult:
            self.steps = steps
            following = left.pop(0)
            if isinstance(following, Exception):
                raise following
            return following

        rounds = [{**ROUND, "kind": "bulk", "round": 1}, ROUND]
        self.history: dict[str, Any] = {"migration-start": 0, "dropped": 0, "rounds": rounds}
        monkeypatch.setattr(module, "migrate", migrate)
        monkeypatch.setattr(module, "read_history", lambda _qmp: self.history)
        monkeypatch.setattr(module, "read_parameters", lambda _qmp: {"fake-dirty-switchover": True})
        monkeypatch.setattr(module, "compared", lambda _source, _destination: EQUAL)
        source = cast(Machine, AnsweringMachine(self.qmp))
        self.attempts = Attempts(self.result, source, cast(Rig, self.rig), Settings())

    def run(self, number: int = 0) -> str:
        return self.attempts.run_until_connected(number)


PLAIN = Attempt(before=(Toggle(Mode.SKIP, "sha1"),), toggles=(), seconds=1.0)


def test_a_completed_migration_is_counted_and_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    laboratory = Laboratory(monkeypatch, PLAIN, outcomes=[outcome("completed")])
    assert laboratory.run() == "completed"
    result = laboratory.result
    assert (result.errors, result.rounds, result.skipped, result.memory) == ([], 2, 2000, EQUAL)
    assert [(toggle.kinds, toggle.features) for toggle in result.toggles] == [(("off→skip",), (BEFORE,))]
    assert [step.in_state for step in laboratory.steps] == [PAUSED]


def test_wrong_totals_and_wrong_pages_are_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    differing = MemoryReport(EQUAL.blocks, (DifferingPage("pc.ram", 7, 9),))
    completed = outcome("completed", ram={"normal": 21, "duplicate": 0})
    laboratory = Laboratory(monkeypatch, PLAIN, outcomes=[completed])
    monkeypatch.setattr(module, "compared", lambda _source, _destination: differing)
    assert laboratory.run() == "completed"
    assert laboratory.result.errors == [
        "the rounds sum up to 20 normal, query-migrate reports 21 normal",
        str(differing),
    ]


def test_a_cancelled_migration_must_leave_the_guest_running(monkeypatch: pytest.MonkeyPatch) -> None:
    attempt = Attempt(before=(), toggles=(), seconds=1.0, cancel=Moment(after_seconds=0.5))
    laboratory = Laboratory(monkeypatch, attempt, outcomes=[outcome("cancelled")])
    assert laboratory.run() == "cancelled"
    assert laboratory.result.errors == []
    assert "query-status" in laboratory.qmp.commands
    assert laboratory.result.memory is None


def test_an_end_that_the_plan_does_not_have_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    laboratory = Laboratory(monkeypatch, PLAIN, outcomes=[outcome("failed", **{"error-desc": "no route"})])
    assert laboratory.run() == "failed"
    assert laboratory.result.errors == ["attempt 0 is failed: no route"]


def test_a_refused_connection_is_tried_again_with_another_destination(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = outcome("failed", **{"error-desc": "Failed to connect: Connection refused"})
    laboratory = Laboratory(monkeypatch, PLAIN, PLAIN, outcomes=[refused, outcome("completed")])
    assert laboratory.run(1) == "completed"
    assert (laboratory.rig.destinations, laboratory.result.errors) == (2, [])
    laboratory = Laboratory(monkeypatch, PLAIN, PLAIN, outcomes=[refused, refused])
    assert laboratory.run(1) == "failed"
    assert laboratory.result.errors == ["attempt 1 is failed: Failed to connect: Connection refused"]


@pytest.mark.parametrize(("running", "errors"), [(False, 0), (True, 1)])
def test_a_guest_that_has_arrived_must_not_run_at_the_source(
    running: bool, errors: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt = Attempt((), (), 1.0, fault=Fault(LINK_IN_POSTCOPY, Moment(in_state="postcopy-active")))
    laboratory = Laboratory(monkeypatch, attempt, outcomes=[ArrivedError("everything had arrived")])
    laboratory.qmp.answers["query-status"] = {"status": "paused", "running": running}
    laboratory.history["postcopy"] = {"pages": 30}
    assert laboratory.run() == "completed"
    assert len(laboratory.result.errors) == errors
    assert (laboratory.result.skipped, laboratory.result.postcopy_pages) == (2000, 30)
    assert laboratory.result.faults == [(LINK_IN_POSTCOPY, ARRIVED)]
    assert laboratory.result.memory is EQUAL


def test_a_guest_is_lost_with_a_destination_that_is_killed_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    attempt = Attempt((), (), 1.0, fault=Fault(KILLED, Moment(after_seconds=0.5)))
    laboratory = Laboratory(monkeypatch, attempt, outcomes=[LabError("the destination does not answer")])
    with pytest.raises(LabError, match="does not answer"):
        laboratory.run()

    def kill_at_the_end(*_arguments: object, steps: Sequence[Step], **_more: object) -> MigrationResult:
        [fault] = [step for step in steps if step.after_seconds == 0.5]
        fault.act(cast(Qmp, laboratory.qmp))
        laboratory.qmp.answers["query-migrate"] = {"status": "completed"}
        raise LabError("the destination does not answer")

    laboratory.qmp.answers["query-migrate"] = {"status": "active"}
    monkeypatch.setattr(module, "migrate", kill_at_the_end)
    monkeypatch.setattr("fakedirty.lab.fuzz.fault_injection.FaultInjection._kill", lambda _injection: None)
    assert laboratory.run() == LOST


def test_a_cancelled_attempt_is_a_feature_of_its_toggles(monkeypatch: pytest.MonkeyPatch) -> None:
    toggle = Toggle(Mode.SKIP, "sha1", moment=Moment(after_seconds=0.1))
    attempt = Attempt((), (toggle,), 1.0, cancel=Moment(after_seconds=0.5))
    laboratory = Laboratory(monkeypatch, attempt, outcomes=[])

    def cancel(*_arguments: object, steps: Sequence[Step], **_more: object) -> MigrationResult:
        states: list[Mapping[str, Any]] = [{"status": "active"}, {"status": "active", "fake-dirty": TOTALS}]
        laboratory.qmp.execute = lambda command, *_: states.pop(0) if command == "query-migrate" else {}  # type: ignore[method-assign]
        [step] = [step for step in steps if step.after_seconds == 0.1]
        step.act(cast(Qmp, laboratory.qmp))
        laboratory.qmp.execute = lambda *_: {"status": "running"}  # type: ignore[method-assign]
        return outcome("cancelled")

    monkeypatch.setattr(module, "migrate", cancel)
    assert laboratory.run() == "cancelled"
    [adopted] = laboratory.result.toggles
    assert CANCELLED in adopted.features
