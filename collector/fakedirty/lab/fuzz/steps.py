"""The steps of an attempt, as :func:`fakedirty.lab.migrate.migrate` takes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import partial

from fakedirty.lab.migrate import PAUSED, Step
from fakedirty.qmp.client import Qmp, QmpRefusedError

from .fault_injection import FaultInjection
from .plans.moment import Moment
from .plans.plan import DIRTY_LIMIT, Attempt, Change, Plan
from .result import FuzzResult
from .toggling import ToggleDriver

# dirty-limit is set by hand after so long. By itself it would begin after two seconds of many written pages.
LIMIT_SECONDS = 0.5


def attempt_steps(attempt: Attempt, driver: ToggleDriver, injection: FaultInjection | None) -> list[Step]:
    """The steps that carry out an attempt.

    Args:
        attempt: to carry out.
        driver: sets its toggles.
        injection: its fault, if it has one.
    """
    steps = [_step(toggle.moment, partial(driver.set, toggle)) for toggle in attempt.toggles]
    steps += [_step(change.moment, partial(_change, change, driver)) for change in attempt.changes]
    if attempt.guest_stop:
        steps.append(_step(attempt.guest_stop.moment, partial(_stop_guest, attempt.guest_stop)))
    if attempt.cancel:
        steps.append(_step(attempt.cancel, lambda qmp: qmp.execute("migrate_cancel")))
    if attempt.fault and injection:
        steps.append(_step(attempt.fault.moment, injection.inject))
    if attempt.postcopy:
        steps.append(_step(attempt.postcopy, lambda qmp: qmp.execute("migrate-start-postcopy")))
    return [*steps, Step(_continue, in_state=PAUSED)]


def dirty_limit_steps(result: FuzzResult, attempt: Attempt) -> list[Step]:
    """The steps that set dirty-limit, and note in `result` once a second whether it holds vCPUs back."""
    plan: Plan = result.plan
    if not plan.capabilities.get(DIRTY_LIMIT):
        return []
    limit = partial(_set_limit, int(str(plan.parameters["vcpu-dirty-limit"])))
    note = partial(_note_limit, result)
    seconds = range(1, int(attempt.seconds) + 1)
    return [Step(limit, after_seconds=LIMIT_SECONDS), *(Step(note, after_seconds=second) for second in seconds)]


def _step(moment: Moment, act: Callable[[Qmp], object]) -> Step:
    return Step(act, **asdict(moment))


def _change(change: Change, driver: ToggleDriver, qmp: Qmp) -> None:
    qmp.execute(change.command, change.parameters)
    if change.feature:
        driver.add_feature(change.feature)


def _stop_guest(change: Change, qmp: Qmp) -> None:
    """Stop the guest, unless the migration has stopped it already."""
    if qmp.execute("query-status")["running"]:
        qmp.execute("stop")
    qmp.execute("migrate-set-parameters", change.parameters)


def _continue(qmp: Qmp) -> None:
    """Let the switchover go on, unless the migration was cancelled in the pause."""
    if qmp.execute("query-migrate")["status"] == PAUSED:
        qmp.execute("migrate-continue", state=PAUSED)


def _set_limit(megabytes: int, qmp: Qmp) -> None:
    """Limit the vCPUs by hand, unless the migration limits them already."""
    try:
        qmp.execute("set-vcpu-dirty-limit", {"dirty-rate": megabytes})
    except QmpRefusedError as error:
        if "while migration is running" not in str(error):
            raise


def _note_limit(result: FuzzResult, qmp: Qmp) -> None:
    """QEMU reports the sleep of vCPUs only while there is a limit."""
    result.dirty_limit_held |= bool(qmp.execute("query-migrate").get("dirty-limit-throttle-time-per-round"))
