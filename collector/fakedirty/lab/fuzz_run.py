"""One fuzzed migration: its plan carried out, and everything that must hold afterwards."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

from fakedirty.errors import LabError, QmpError
from fakedirty.model.round import broken_law
from fakedirty.observe.qmp_history import history_round
from fakedirty.qmp.client import Qmp, QmpRefusedError
from fakedirty.qmp.history import read_history

from .bench import Bench, compared
from .fuzz_coverage import FORCED, Taken
from .fuzz_memory import ARGUMENTS
from .fuzz_plan import DIRTY_LIMIT, Attempt, Change, Moment, Plan
from .fuzz_predicted import Predicted
from .fuzz_toggling import Toggling
from .guest_kvm import accelerated_by
from .machine import Machine
from .memory import MemoryReport
from .migrate import PAUSED, Outcome, Settings, Step, migrate

REFUSED = "Connection refused"
UNCONNECTED = "not connected"  # beside QEMU's own words for how a migration ended

LEAST_ROUNDS = 3
LEAST_SKIPPED = 1000
LIMIT_SECONDS = 0.5  # after which dirty-limit begins, which by itself it would after two seconds of many written pages

# of query-migrate, and the column of the rounds that must sum up to it
TOTALS = (
    ("ram", "normal", "normal_pages"),
    ("ram", "duplicate", "zero_pages"),
    ("fake-dirty", "skipped", "skipped_pages"),
    ("fake-dirty", "saved-bytes", "saved_bytes"),
)


@dataclass(slots=True)
class Fuzzed:
    """What came of a plan. `rounds` and `skipped` are of the migration that completed; `wrong` says what is.

    `foreseen` is whether its switchover could be held to what it was expected to send, `predicted` what that was.
    `limited` is whether dirty-limit held the vCPUs back in any attempt: it waits until the guest writes too much.
    """

    plan: Plan
    rounds: int = 0
    skipped: int = 0
    seconds: float = 0.0
    foreseen: bool = False
    limited: bool = False
    predicted: Predicted | None = None
    memory: MemoryReport | None = None
    taken: list[Taken] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    @property
    def counts(self) -> bool:
        """Whether it says anything about skipping."""
        return self.memory is not None and self.rounds >= LEAST_ROUNDS and self.skipped >= LEAST_SKIPPED


def run_plan(plan: Plan, bench: Bench) -> Fuzzed:
    """Carry it out on a bench whose QEMU and network are given. Errors of the laboratory are wrong, too."""
    fuzzed = Fuzzed(plan)
    start = time.monotonic()
    network = bench.network
    if network:
        network.source.shape(plan.link_bits or network.bits_per_second)
    bench = replace(
        bench,
        workload=plan.workload,
        accelerator=accelerated_by(plan.accelerator, plan.ring),
        more=("-smp", str(plan.vcpus), *ARGUMENTS[plan.memory](plan.workload.memory_mib)),
        name=f"fuzz-{plan.index}",
    )
    try:
        with bench.source() as source:
            source.qmp.execute("migrate-set-parameters", plan.parameters)
            for number, attempt in enumerate(plan.attempts):
                if _run_until_connected(fuzzed, attempt, number, source, bench) != "cancelled":
                    break  # completed: a cancel may come too late
    except (LabError, QmpError) as error:
        fuzzed.wrong.append(str(error))
    fuzzed.seconds = time.monotonic() - start
    return fuzzed


def _run_until_connected(fuzzed: Fuzzed, attempt: Attempt, number: int, source: Machine, bench: Bench) -> str:
    """Run it, once more for each attempt that was cancelled before if it finds nobody to connect to.

    One that is cancelled while it connects may still come to the address later, where the next destination listens by
    then and takes one connection. QEMU drops that one, and has none for the migration.
    """
    for again in range(number + 1):
        with bench.destination() as destination:
            status = _run_attempt(fuzzed, attempt, number, source, destination, connects=again == number)
        if status != UNCONNECTED:
            break
    return status


def _run_attempt(
    fuzzed: Fuzzed, attempt: Attempt, number: int, source: Machine, destination: Machine, *, connects: bool
) -> str:
    plan = fuzzed.plan
    toggling = Toggling(plan.features, retried=number > 0)
    for toggle in attempt.before:
        toggling.set_before(toggle, source.qmp)
    settings = Settings(
        plan.downtime_limit_ms,
        plan.bandwidth_bytes,
        plan.parameters,
        {**plan.capabilities, "multifd": plan.multifd is not None},
        plan.multifd.shared if plan.multifd else {},
    )
    steps = [_step(toggle.moment, partial(toggling.set, toggle)) for toggle in attempt.toggles]
    steps += [_step(change.moment, partial(_change, change, toggling)) for change in attempt.changes]
    if attempt.still:
        steps.append(_step(attempt.still.moment, partial(_stand_still, attempt.still)))
    if attempt.cancel:
        steps.append(_step(attempt.cancel, lambda qmp: qmp.execute("migrate_cancel")))
    if attempt.broken:
        steps.append(_step(attempt.broken, partial(_break, toggling)))
    steps.append(Step(_go_on, in_state=PAUSED))
    if plan.capabilities.get(DIRTY_LIMIT):
        limit = partial(_limit, int(str(plan.parameters["vcpu-dirty-limit"])))
        steps.append(Step(limit, after_seconds=LIMIT_SECONDS))
        look = partial(_look_for_limit, fuzzed)
        steps += [Step(look, after_seconds=second) for second in range(1, int(attempt.seconds) + 1)]
    outcome = migrate(source, destination, settings, time_limit=attempt.seconds, steps=steps)
    history = read_history(source.qmp)
    if any(each["forced-syncs"] for each in history["rounds"]):
        toggling.meet(FORCED)
    fuzzed.taken += toggling.taken(outcome.final)
    fuzzed.wrong += check_history(history, outcome) + check_decided(history)
    if attempt.still and outcome.converged and (expected := expectation(history, outcome.final)) is not None:
        fuzzed.foreseen = True
        fuzzed.wrong += check_switchover(history, expected)
    if outcome.status == "completed":
        fuzzed.rounds = history["dropped"] + len(history["rounds"])
        limit_ms = plan.downtime_limit_ms if outcome.converged else None
        fuzzed.predicted = Predicted.of(outcome.final, still=attempt.still is not None, limit_ms=limit_ms)
        fuzzed.skipped = outcome.final.get("fake-dirty", {"skipped": 0})["skipped"]
        fuzzed.memory = compared(source, destination)
        if not fuzzed.memory.equal:
            fuzzed.wrong.append(str(fuzzed.memory))
    elif not {"cancelled": attempt.cancel, "failed": attempt.broken}.get(outcome.status):
        why = outcome.final.get("error-desc", "no reason given")
        if not connects and REFUSED in why:
            return UNCONNECTED
        fuzzed.wrong.append(f"attempt {number} is {outcome.status}: {why}")
    return outcome.status


def check_history(history: Mapping[str, Any], outcome: Outcome) -> list[str]:
    """What does not add up: conservation in every round, and, of a completed migration, QEMU's totals."""
    rounds = [history_round(each, int(history["migration-start"])) for each in history["rounds"]]
    wrong = [f"round {each.round}: {law}" for each in rounds if (law := broken_law(each))]
    if false_equal := outcome.final.get("fake-dirty", {}).get("false-equal", 0):
        wrong.append(f"the audit found {false_equal} pages that a hash took for unchanged")
    if outcome.status != "completed" or history["dropped"]:
        return wrong
    for part, total, counted in TOTALS:
        told = outcome.final.get(part, {total: 0})[total]  # there is no fake-dirty where the mode was never on
        if (summed := sum(getattr(each, counted) or 0 for each in rounds)) != told:
            wrong.append(
                f"the rounds sum up to {summed} {counted.removesuffix('_pages')}, query-migrate says {told} {total}"
            )
    return wrong


def check_decided(history: Mapping[str, Any]) -> list[str]:
    """What is wrong if something else than what the switchover was decided by took effect in it.

    A QEMU whose rounds say whether they are exact adopts nothing any more then; one of an earlier series did.
    """
    rounds: Sequence[Mapping[str, Any]] = history["rounds"]
    if len(rounds) < 2 or rounds[-1]["kind"] != "switchover" or "exact" not in rounds[-1]:
        return []
    decided, done = (f"mode {each['mode']}, hash {each.get('hash')}" for each in rounds[-2:])
    return [f"the switchover was decided in {decided}, and made in {done}"] if decided != done else []


def expectation(history: Mapping[str, Any], final: Mapping[str, Any]) -> int | None:
    """Pages that the switchover was expected to send at most, where nothing happened between that and the switchover.

    None where the guest wrote on, mode or hash changed, or the switchover did not come of a look at dirty pages.
    """
    if len(history["rounds"]) < LEAST_ROUNDS:
        return None
    before, last = history["rounds"][-2:]
    alike = all(before.get(name) == last.get(name) for name in ("mode", "hash")) and last["mode"] == "skip"
    if last["kind"] != "switchover" or not alike or before["visited"] or not last["dirty"] == before["left"] > 0:
        return None
    expected = final.get("fake-dirty", {}).get("expected")
    return None if expected is None else int(expected)


def check_switchover(history: Mapping[str, Any], expected: int) -> list[str]:
    """What is wrong if the last round sent more pages than were expected."""
    last = history["rounds"][-1]
    sent = sum(last[name] for name in ("normal", "zero", "xbzrle", "unchanged"))
    return [f"the switchover sent {sent} pages, and was expected to send {expected}"] if sent > expected else []


def _stand_still(change: Change, qmp: Qmp) -> None:
    """Stop the guest, unless the migration did that already."""
    if qmp.execute("query-status")["running"]:
        qmp.execute("stop")
    qmp.execute("migrate-set-parameters", change.parameters)


def _change(change: Change, toggling: Toggling, qmp: Qmp) -> None:
    qmp.execute(change.command, change.parameters)
    if change.feature:
        toggling.meet(change.feature)


def _break(toggling: Toggling, qmp: Qmp) -> None:
    """Shut all channels down, unless the migration is over."""
    try:
        qmp.execute("yank", instances=[{"type": "migration"}])
    except QmpRefusedError:
        if qmp.execute("query-migrate")["status"] != "completed":
            raise
    else:
        toggling.meet(BROKEN)


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


def _look_for_limit(fuzzed: Fuzzed, qmp: Qmp) -> None:
    """QEMU reports how long a vCPU sleeps only while there is a limit."""
    fuzzed.limited |= bool(qmp.execute("query-migrate").get("dirty-limit-throttle-time-per-round"))


def _step(moment: Moment, act: Any) -> Step:
    return Step(act, **asdict(moment))
