"""One fuzzed migration: its plan carried out, and everything that must hold afterwards."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from fakedirty.errors import LabError, QmpError
from fakedirty.lab.accelerator import accelerated_by
from fakedirty.lab.machine import Machine
from fakedirty.lab.memory_compare import MemoryReport
from fakedirty.lab.migrate import PAUSED, PORT, Outcome, Settings, Step, migrate
from fakedirty.lab.testbed import Testbed, compared
from fakedirty.model.enums import Mode
from fakedirty.qmp.client import Qmp, QmpRefusedError
from fakedirty.qmp.mode import read_parameters
from fakedirty.qmp.parameters import SWITCHOVER
from fakedirty.qmp.rounds_command import read_history

from .checks import LEAST_ROUNDS, check_decided, check_history, check_switchover, expectation
from .coverage import FORCED, Taken
from .fault_injection import ARRIVED, ArrivedError, FaultInjection, StrandedError, check_runs_on
from .faults import IN_POSTCOPY, KILLED, KILLED_IN_POSTCOPY
from .memory_layouts import ARGUMENTS
from .moment import Moment
from .plan import DIRTY_LIMIT, Attempt, Change, Plan
from .predictions import Predicted
from .route import FileRoute, HybridRoute
from .small_sockets import MUCH_STATE
from .stranded import check_stranded
from .toggling import ToggleDriver

REFUSED = "Connection refused"
UNCONNECTED, LOST = "not connected", "lost"  # beside QEMU's own words for how a migration ended
AGAIN = ("cancelled", "failed")

LEAST_SKIPPED = 1000
LIMIT_SECONDS = 0.5  # after which dirty-limit begins, which by itself it would after two seconds of many written pages


@dataclass(slots=True)
class FuzzResult:
    """What came of a plan. `rounds` and `skipped` are of the migration that completed; `wrong` says what is.

    `foreseen` is whether its switchover could be held to what it was expected to send, `predicted` what that was.
    `limited` is whether dirty-limit held the vCPUs back in any attempt: it waits until the guest writes too much.
    `breaks` are what broke, and when; `postcopy` the pages that were left to it, None if there was none.
    """

    plan: Plan
    rounds: int = 0
    skipped: int = 0
    seconds: float = 0.0
    foreseen: bool = False
    limited: bool = False
    breaks: list[tuple[str, str]] = field(default_factory=list)
    postcopy: int | None = None
    predicted: Predicted | None = None
    memory: MemoryReport | None = None
    taken: list[Taken] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    @property
    def counts(self) -> bool:
        """Whether it says anything about skipping."""
        return self.memory is not None and self._skipped_enough

    @property
    def covered(self) -> list[Taken]:
        """What it adds to the table of coverage: all toggles that took effect, if it counts.

        If the destination was killed in postcopy, there is no memory to compare. Toggles have met that then, and
        nothing else.
        """
        if self.counts:
            return self.taken
        if not self._skipped_enough:
            return []
        return [
            replace(taken, features=(KILLED_IN_POSTCOPY,))
            for taken in self.taken
            if KILLED_IN_POSTCOPY in taken.features
        ]

    @property
    def _skipped_enough(self) -> bool:
        return self.rounds >= LEAST_ROUNDS and self.skipped >= LEAST_SKIPPED


def run_plan(plan: Plan, bench: Testbed) -> FuzzResult:
    """Carry it out on a bench whose QEMU and network are given. Errors of the laboratory are wrong, too."""
    fuzzed = FuzzResult(plan)
    start = time.monotonic()
    network = bench.network
    if network:
        network.source.shape(plan.link_bits or network.bits_per_second)
    bench = replace(
        bench,
        workload=plan.workload,
        accelerator=accelerated_by(plan.accelerator, plan.ring),
        more=(
            *("-smp", str(plan.vcpus)),
            *ARGUMENTS[plan.memory](plan.workload.memory_mib),
            *(plan.multifd.arguments if plan.multifd else ()),
            *(MUCH_STATE if plan.much_state else ()),
        ),
        name=f"fuzz-{plan.index}",
    )
    try:
        with tempfile.TemporaryDirectory(prefix="fakedirty-") as directory, bench.source() as source:
            source.qmp.execute("migrate-set-parameters", plan.parameters)
            attempts = _Attempts(fuzzed, source, bench, _settings(plan, Path(directory) / "guest"))
            for number in range(len(plan.attempts)):
                if attempts.run_until_connected(number) not in AGAIN:
                    break  # completed: a cancel may come too late
    except (LabError, QmpError) as error:
        fuzzed.wrong.append(str(error))
    fuzzed.seconds = time.monotonic() - start
    return fuzzed


def _settings(plan: Plan, file: Path) -> Settings:
    """How all attempts of a plan migrate; those that go into a file, into this one."""
    multifd, way = plan.multifd, plan.way
    return Settings(
        plan.downtime_limit_ms,
        plan.bandwidth_bytes,
        plan.parameters,
        {**plan.capabilities, "multifd": multifd is not None, **(way.capabilities if way else {})},
        {**(multifd.shared if multifd else {}), **(way.shared if way else {})},
        file if isinstance(way, FileRoute) else None,
    )


@dataclass(frozen=True, slots=True)
class _Attempts:
    """The attempts of a plan, all from one source and with the same settings."""

    fuzzed: FuzzResult
    source: Machine
    bench: Testbed
    settings: Settings

    def run_until_connected(self, number: int) -> str:
        """Run one, once more for each attempt before it that came to nothing if it finds nobody to connect to.

        One that is cancelled while it connects may still come to the address later, where the next destination listens
        by then and takes one connection. QEMU drops that one, and has none for the migration.
        """
        for again in range(number + 1):
            with self.bench.destination() as destination:
                status = self._run(number, destination, connects=again == number)
            if status != UNCONNECTED:
                break
        return status

    def _run(self, number: int, destination: Machine, *, connects: bool) -> str:
        attempt = self.fuzzed.plan.attempts[number]
        toggling = ToggleDriver(self.fuzzed.plan.features, retried=number > 0)
        for toggle in attempt.before:
            toggling.set_before(toggle, self.source.qmp)
        breaking = (
            FaultInjection(attempt.broken, self.source, destination, self._memory_bytes) if attempt.broken else None
        )
        steps = [*self._steps(attempt, toggling, breaking), *self._steps_of_a_limit(attempt)]
        try:
            with breaking.around() if breaking else nullcontext():
                outcome = migrate(self.source, destination, self.settings, time_limit=attempt.seconds, steps=steps)
        except ArrivedError:
            return self._arrived(destination)
        except StrandedError:
            return self._stranded(toggling, breaking, destination)
        except (LabError, QmpError):
            if _lost(breaking, self.source):
                return LOST
            raise
        history = read_history(self.source.qmp)
        self._note(toggling, breaking, history, outcome)
        mended = _met(breaking, IN_POSTCOPY)
        self.fuzzed.wrong += check_history(history, outcome, mended=mended) + check_decided(history)
        if attempt.still and outcome.converged and (expected := expectation(history, outcome.final)) is not None:
            self.fuzzed.foreseen = True
            self.fuzzed.wrong += check_switchover(history, expected)
        if outcome.status == "completed":
            self._compare(attempt, history, outcome, destination)
        elif {"cancelled": attempt.cancel, "failed": breaking and breaking.met}.get(outcome.status):
            self.fuzzed.wrong += check_runs_on(self.source)
        else:
            why = outcome.final.get("error-desc", "no reason given")
            if not connects and REFUSED in why:
                return UNCONNECTED
            self.fuzzed.wrong.append(f"attempt {number} is {outcome.status}: {why}")
        return outcome.status

    def _arrived(self, destination: Machine) -> str:
        """What must hold where the source stays paused: the guest is at the destination alone, and complete."""
        fuzzed = self.fuzzed
        fuzzed.breaks.append((IN_POSTCOPY, ARRIVED))
        history = read_history(self.source.qmp)
        fuzzed.rounds = history["dropped"] + len(history["rounds"])
        fuzzed.postcopy = int(history["postcopy"]["pages"])
        fuzzed.skipped = sum(each.get("skipped", 0) for each in history["rounds"])
        if self.source.qmp.execute("query-status")["running"]:
            fuzzed.wrong.append("the guest runs at the source again, and at the destination")
        self._compare_memory(destination)
        return "completed"

    def _stranded(self, toggling: ToggleDriver, breaking: FaultInjection | None, destination: Machine) -> str:
        """What must hold where the destination is dead and the source paused; there is no memory to compare."""
        fuzzed = self.fuzzed
        history, final = read_history(self.source.qmp), self.source.qmp.execute("query-migrate")
        outcome = Outcome(final["status"], False, 0.0, final, final)
        self._note(toggling, breaking, history, outcome)
        self._count(history, final)
        assert destination.end
        fuzzed.wrong += check_history(history, outcome)
        fuzzed.wrong += check_stranded(self.source, f"tcp:{destination.end.address}:{PORT + 1}")
        return LOST

    @property
    def _memory_bytes(self) -> int:
        return self.fuzzed.plan.workload.memory_mib << 20

    def _steps(self, attempt: Attempt, toggling: ToggleDriver, breaking: FaultInjection | None) -> list[Step]:
        steps = [_step(toggle.moment, partial(toggling.set, toggle)) for toggle in attempt.toggles]
        steps += [_step(change.moment, partial(_change, change, toggling)) for change in attempt.changes]
        if attempt.still:
            steps.append(_step(attempt.still.moment, partial(_stand_still, attempt.still)))
        if attempt.cancel:
            steps.append(_step(attempt.cancel, lambda qmp: qmp.execute("migrate_cancel")))
        if attempt.broken and breaking:
            steps.append(_step(attempt.broken.moment, breaking.take))
        if attempt.postcopy:
            steps.append(_step(attempt.postcopy, lambda qmp: qmp.execute("migrate-start-postcopy")))
        return [*steps, Step(_go_on, in_state=PAUSED)]

    def _steps_of_a_limit(self, attempt: Attempt) -> list[Step]:
        plan = self.fuzzed.plan
        if not plan.capabilities.get(DIRTY_LIMIT):
            return []
        limit = partial(_limit, int(str(plan.parameters["vcpu-dirty-limit"])))
        look = partial(_look_for_limit, self.fuzzed)
        seconds = range(1, int(attempt.seconds) + 1)
        return [Step(limit, after_seconds=LIMIT_SECONDS), *(Step(look, after_seconds=second) for second in seconds)]

    def _note(
        self, toggling: ToggleDriver, breaking: FaultInjection | None, history: Mapping[str, Any], outcome: Outcome
    ) -> None:
        """What toggles have met, and took effect."""
        way = self.fuzzed.plan.way
        if any(each["forced-syncs"] for each in history["rounds"]):
            toggling.meet(FORCED)
        if breaking and breaking.met and breaking.broke(outcome.status):
            self.fuzzed.breaks.append(breaking.met)
            toggling.meet(breaking.met[0])
        if isinstance(way, HybridRoute) and "postcopy" in history:
            self.fuzzed.postcopy = int(history["postcopy"]["pages"])
            swept = outcome.final.get("fake-dirty", {}).get("swept", 0)
            for feature in way.met(swept, multifd=self.fuzzed.plan.multifd is not None):
                toggling.meet(feature)
        self.fuzzed.taken += toggling.taken(outcome.final)

    def _compare(self, attempt: Attempt, history: Mapping[str, Any], outcome: Outcome, destination: Machine) -> None:
        """What came of one that is complete: the memories of both sides, and what the switchover took."""
        fuzzed = self.fuzzed
        self._count(history, outcome.final)
        limit_ms = fuzzed.plan.downtime_limit_ms if outcome.converged else None
        skipping = bool(history["rounds"]) and history["rounds"][-1]["mode"] == Mode.SKIP
        aware = skipping and bool(read_parameters(self.source.qmp)[SWITCHOVER])
        fuzzed.predicted = Predicted.of(outcome.final, still=attempt.still is not None, limit_ms=limit_ms, aware=aware)
        self._compare_memory(destination)

    def _count(self, history: Mapping[str, Any], final: Mapping[str, Any]) -> None:
        """The rounds, and the pages that were skipped in all of them."""
        self.fuzzed.rounds = history["dropped"] + len(history["rounds"])
        self.fuzzed.skipped = final.get("fake-dirty", {"skipped": 0})["skipped"]

    def _compare_memory(self, destination: Machine) -> None:
        self.fuzzed.memory = compared(self.source, destination)
        if not self.fuzzed.memory.equal:
            self.fuzzed.wrong.append(str(self.fuzzed.memory))


def _lost(breaking: FaultInjection | None, source: Machine) -> bool:
    """Whether the destination was killed when the source had sent everything: then there is nothing to go on with."""
    killed = _met(breaking, KILLED) or _met(breaking, KILLED_IN_POSTCOPY)
    return killed and source.qmp.execute("query-migrate")["status"] == "completed"


def _met(breaking: FaultInjection | None, how: str) -> bool:
    return breaking is not None and breaking.met is not None and breaking.met[0] == how


def _stand_still(change: Change, qmp: Qmp) -> None:
    """Stop the guest, unless the migration did that already."""
    if qmp.execute("query-status")["running"]:
        qmp.execute("stop")
    qmp.execute("migrate-set-parameters", change.parameters)


def _change(change: Change, toggling: ToggleDriver, qmp: Qmp) -> None:
    qmp.execute(change.command, change.parameters)
    if change.feature:
        toggling.meet(change.feature)


def _go_on(qmp: Qmp) -> None:
    """Let the switchover go on, unless it was cancelled there."""
    if qmp.execute("query-migrate")["status"] == PAUSED:
        qmp.execute("migrate-continue", state=PAUSED)


def _limit(megabytes: int, qmp: Qmp) -> None:
    """Hold the vCPUs back by hand, unless the migration does that already."""
    try:
        qmp.execute("set-vcpu-dirty-limit", {"dirty-rate": megabytes})
    except QmpRefusedError as error:
        if "while migration is running" not in str(error):
            raise


def _look_for_limit(fuzzed: FuzzResult, qmp: Qmp) -> None:
    """QEMU reports how long a vCPU sleeps only while there is a limit."""
    fuzzed.limited |= bool(qmp.execute("query-migrate").get("dirty-limit-throttle-time-per-round"))


def _step(moment: Moment, act: Any) -> Step:
    return Step(act, **asdict(moment))
