"""Runs the attempts of a plan, and checks what must hold after each."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from fakedirty.errors import LabError, QmpError
from fakedirty.lab.machine import Machine
from fakedirty.lab.migrate import PORT, MigrationResult, Settings, migrate
from fakedirty.lab.rig import Rig, compared
from fakedirty.model.enums import Mode
from fakedirty.qmp.mode import read_parameters
from fakedirty.qmp.parameters import SWITCHOVER
from fakedirty.qmp.rounds_command import read_history

from .checks import check_history, check_switchover_mode, check_switchover_pages, expected_pages
from .coverage import FORCED
from .fault_injection import ARRIVED, ArrivedError, FaultInjection, StrandedError, check_runs_on
from .plans.faults import KILLED, KILLED_IN_POSTCOPY, LINK_IN_POSTCOPY
from .plans.plan import Attempt
from .plans.route import HybridRoute
from .result import FuzzResult
from .steps import attempt_steps, dirty_limit_steps
from .stranded import check_stranded
from .switchover_costs import SwitchoverCost
from .toggling import ToggleDriver

REFUSED = "Connection refused"
UNCONNECTED, LOST = "not connected", "lost"  # beside QEMU's own words for the end of a migration


@dataclass(frozen=True, slots=True)
class Attempts:
    """The attempts of a plan, all from one source and with the same settings. They fill in `result`."""

    result: FuzzResult
    source: Machine
    rig: Rig
    settings: Settings

    def run_until_connected(self, number: int) -> str:
        """Run attempt `number`, again if it finds no destination to connect to.

        An attempt that is cancelled while it connects may still reach the address later. The next destination listens
        there by then, and takes one connection. QEMU drops that one, and has none for the migration. So an attempt is
        run at most once more for each attempt before it.

        Returns:
            How it ended: QEMU's status of the migration, or LOST.
        """
        for again in range(number + 1):
            with self.rig.destination() as destination:
                status = self._run(number, destination, last_try=again == number)
            if status != UNCONNECTED:
                break
        return status

    def _run(self, number: int, destination: Machine, *, last_try: bool) -> str:
        attempt = self.result.plan.attempts[number]
        driver = ToggleDriver(self.result.plan.features, retried=number > 0)
        for toggle in attempt.before:
            driver.set_before(toggle, self.source.qmp)
        file_bytes = self.result.plan.workload.memory_mib << 20
        injection = FaultInjection(attempt.fault, self.source, destination, file_bytes) if attempt.fault else None
        steps = [*attempt_steps(attempt, driver, injection), *dirty_limit_steps(self.result, attempt)]
        try:
            with injection.around() if injection else nullcontext():
                outcome = migrate(self.source, destination, self.settings, time_limit=attempt.seconds, steps=steps)
        except ArrivedError:
            return self._check_arrived(destination)
        except StrandedError:
            return self._check_stranded(driver, injection, destination)
        except (LabError, QmpError):
            if _is_lost(injection, self.source):
                return LOST
            raise
        history = read_history(self.source.qmp)
        self._note(driver, injection, history, outcome)
        self._check_rounds(attempt, injection, history, outcome)
        if outcome.status == "completed":
            self._check_completed(attempt, history, outcome, destination)
        elif {"cancelled": attempt.cancel, "failed": injection and injection.outcome}.get(outcome.status):
            self.result.errors += check_runs_on(self.source)
        else:
            why = outcome.final.get("error-desc", "no reason given")
            if not last_try and REFUSED in why:
                return UNCONNECTED
            self.result.errors.append(f"attempt {number} is {outcome.status}: {why}")
        return outcome.status

    def _note(
        self,
        driver: ToggleDriver,
        injection: FaultInjection | None,
        history: Mapping[str, Any],
        outcome: MigrationResult,
    ) -> None:
        """Add the attempt's toggles to the result, with all that they met."""
        plan = self.result.plan
        if any(each["forced-syncs"] for each in history["rounds"]):
            driver.add_feature(FORCED)
        if injection and injection.outcome and injection.took_effect(outcome.status):
            self.result.faults.append(injection.outcome)
            driver.add_feature(injection.outcome[0])
        if isinstance(plan.route, HybridRoute) and "postcopy" in history:
            self.result.postcopy_pages = int(history["postcopy"]["pages"])
            swept = outcome.final.get("fake-dirty", {}).get("swept", 0)
            for feature in plan.route.postcopy_features(swept, multifd=plan.multifd is not None):
                driver.add_feature(feature)
        self.result.toggles += driver.adopted(outcome.final)

    def _check_rounds(
        self, attempt: Attempt, injection: FaultInjection | None, history: Mapping[str, Any], outcome: MigrationResult
    ) -> None:
        mended = _met(injection, LINK_IN_POSTCOPY)
        self.result.errors += check_history(history, outcome, mended=mended) + check_switchover_mode(history)
        if attempt.guest_stop and outcome.converged:
            expected = expected_pages(history, outcome.final)
            if expected is not None:
                self.result.checked_expectation = True
                self.result.errors += check_switchover_pages(history, expected)

    def _check_completed(
        self, attempt: Attempt, history: Mapping[str, Any], outcome: MigrationResult, destination: Machine
    ) -> None:
        """Note what the switchover cost, and compare the memories of both sides."""
        result = self.result
        self._count(history, outcome.final)
        limit_ms = result.plan.downtime_limit_ms if outcome.converged else None
        skipping = bool(history["rounds"]) and history["rounds"][-1]["mode"] == Mode.SKIP
        aware = skipping and bool(read_parameters(self.source.qmp)[SWITCHOVER])
        still = attempt.guest_stop is not None
        result.switchover = SwitchoverCost.of(outcome.final, still=still, limit_ms=limit_ms, aware=aware)
        self._compare_memory(destination)

    def _check_arrived(self, destination: Machine) -> str:
        """Check a source that stays paused: the guest is complete, and at the destination alone."""
        result = self.result
        result.faults.append((LINK_IN_POSTCOPY, ARRIVED))
        history = read_history(self.source.qmp)
        result.rounds = history["dropped"] + len(history["rounds"])
        result.postcopy_pages = int(history["postcopy"]["pages"])
        result.skipped = sum(each.get("skipped", 0) for each in history["rounds"])
        if self.source.qmp.execute("query-status")["running"]:
            result.errors.append("the guest runs at the source again, and at the destination")
        self._compare_memory(destination)
        return "completed"

    def _check_stranded(self, driver: ToggleDriver, injection: FaultInjection | None, destination: Machine) -> str:
        """Check a source that stays paused after its destination was killed: there is no memory to compare."""
        history, final = read_history(self.source.qmp), self.source.qmp.execute("query-migrate")
        outcome = MigrationResult(final["status"], False, 0.0, final, final)
        self._note(driver, injection, history, outcome)
        self._count(history, final)
        assert destination.end
        self.result.errors += check_history(history, outcome)
        self.result.errors += check_stranded(self.source, f"tcp:{destination.end.address}:{PORT + 1}")
        return LOST

    def _count(self, history: Mapping[str, Any], final: Mapping[str, Any]) -> None:
        """Note the number of rounds, and of all skipped pages."""
        self.result.rounds = history["dropped"] + len(history["rounds"])
        self.result.skipped = final.get("fake-dirty", {"skipped": 0})["skipped"]

    def _compare_memory(self, destination: Machine) -> None:
        self.result.memory = compared(self.source, destination)
        if not self.result.memory.equal:
            self.result.errors.append(str(self.result.memory))


def _is_lost(injection: FaultInjection | None, source: Machine) -> bool:
    """Whether the destination was killed after the source had sent everything: there is no guest to go on with."""
    killed = _met(injection, KILLED) or _met(injection, KILLED_IN_POSTCOPY)
    return killed and source.qmp.execute("query-migrate")["status"] == "completed"


def _met(injection: FaultInjection | None, how: str) -> bool:
    return injection is not None and injection.outcome is not None and injection.outcome[0] == how
