"""One migration between two machines of the laboratory: bounded in time, with steps taken while it runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fakedirty.errors import LabError
from fakedirty.qmp import refusals
from fakedirty.qmp.client import Qmp, QmpClosedError, QmpRefusedError

from .cleanup_retry import once_cleaned_up
from .machine import Machine

PORT = 4444  # in a namespace of our own, where it is free
UNLIMITED = 10**11  # bytes/s: only the link limits
PATIENCE_MS = 2_000_000  # the longest downtime that QEMU accepts: switch over at once
FINISH_SECONDS = 300.0
POLL_SECONDS = 0.5  # between looks at the clock; events of QEMU come at once

ENDED = ("completed", "failed", "cancelled")
PAUSED = "pre-switchover"  # with the capability pause-before-switchover, until migrate-continue
POSTCOPY = "postcopy-active"


@dataclass(frozen=True, slots=True)
class Settings:
    """How a guest is migrated, in QEMU's terms.

    Attributes:
        downtime_limit_ms: `downtime-limit` of the source.
        bandwidth_bytes: `max-bandwidth` of the source, in bytes per second.
        parameters: further migration parameters of the source.
        capabilities: migration capabilities of both sides.
        shared: migration parameters of both sides.
        file: the guest is saved into this file, and the destination restores it when it is complete. None: the guest
            migrates over the network.
    """

    downtime_limit_ms: int = 300
    bandwidth_bytes: int = UNLIMITED
    parameters: Mapping[str, object] = field(default_factory=dict)
    capabilities: Mapping[str, bool] = field(default_factory=dict)
    shared: Mapping[str, object] = field(default_factory=dict)
    file: Path | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """Something that is done once while the migration runs.

    It is due at the first of its moments, and not before `ready` is true. Steps that are due together are taken in
    their order. A change of mode is too late, and is not taken, once QEMU has decided on the switchover.

    Attributes:
        act: does it.
        after_round: it is due when this round has ended.
        after_seconds: it is due so many seconds after the start.
        in_state: it is due when the migration has this state.
        ready: whether what the step waits for is there; called again and again.
    """

    act: Callable[[Qmp], object]
    after_round: int | None = None
    after_seconds: float | None = None
    in_state: str | None = None
    ready: Callable[[], bool] = lambda: True

    def due(self, rounds: int, seconds: float, state: str = "") -> bool:
        """Whether the step is due.

        Args:
            rounds: how many rounds have ended.
            seconds: since the start.
            state: of the migration.
        """
        by_round = self.after_round is not None and rounds >= self.after_round
        by_seconds = self.after_seconds is not None and seconds >= self.after_seconds
        by_state = self.in_state is not None and self.in_state == state
        return (by_round or by_seconds or by_state) and self.ready()


@dataclass(frozen=True, slots=True)
class MigrationResult:
    """How a migration ended.

    Attributes:
        status: its last state.
        converged: whether it ended by itself within the time limit.
        time_limit_seconds: that limit.
        measured: ``query-migrate`` at the end, or at the time limit if that came first.
        final: ``query-migrate`` at the end.
    """

    status: str
    converged: bool
    time_limit_seconds: float
    measured: Mapping[str, Any]
    final: Mapping[str, Any]

    def check_completed(self, what: str) -> None:
        """Raise LabError with QEMU's reason unless it completed; `what` is the subject of the sentence."""
        if self.status != "completed":
            raise LabError(f"{what} is {self.status}: {self.final.get('error-desc', 'no reason given')}")


def migrate(
    source: Machine,
    destination: Machine,
    settings: Settings,
    *,
    time_limit: float,
    steps: Sequence[Step] = (),
    at_limit: Callable[[], object] = lambda: None,
) -> MigrationResult:
    """Migrate a guest, and wait until its migration is over.

    A migration that has not ended at its time limit gets the longest downtime limit that QEMU takes, so that the guest
    arrives and its memory can be compared. If it does not end then either, it is cancelled.

    Args:
        source: the machine that the guest runs on.
        destination: the machine that waits for it, started with `-incoming defer`.
        settings: how it is migrated.
        time_limit: in seconds.
        steps: what is done while it runs.
        at_limit: called at the time limit, before the migration is let through.

    Raises:
        LabError: a QEMU ended, or the guest did not arrive.
    """
    _prepare(source, destination, settings)
    start = time.monotonic()
    schedule = _Schedule(steps, start)
    measured = _follow(source, start + time_limit, schedule)
    converged = measured["status"] in ENDED
    final = measured
    if not converged:
        at_limit()
        source.qmp.execute("migrate-set-parameters", {"downtime-limit": PATIENCE_MS})
        final = _follow(source, time.monotonic() + FINISH_SECONDS, schedule)
    if final["status"] not in ENDED:
        source.qmp.execute("migrate_cancel")
        final = _follow(source, time.monotonic() + FINISH_SECONDS, schedule)
    if final["status"] == "completed":
        if settings.file:
            destination.qmp.execute("migrate-incoming", uri=f"file:{settings.file}")
        _await_arrival(destination)
        final = _settled(source)
    return MigrationResult(final["status"], converged, time_limit, final if converged else measured, final)


def _prepare(source: Machine, destination: Machine, settings: Settings) -> None:
    """Set both sides up and start. The destination must listen before the source connects."""
    once_cleaned_up(lambda: set_up(source.qmp, destination.qmp, settings))
    if settings.file:
        uri = f"file:{settings.file}"
    elif destination.end:
        uri = f"tcp:{destination.end.address}:{PORT}"
        destination.qmp.execute("migrate-incoming", uri=uri)
    else:
        raise LabError(f"{destination.name} is on no network: a destination needs an address")
    source.qmp.drain_events()
    once_cleaned_up(lambda: source.qmp.execute("migrate", uri=uri))


def set_up(source: Qmp, destination: Qmp, settings: Settings) -> None:
    """Set capabilities and parameters on both sides.

    Raises:
        QmpRefusedError: a side refuses one of them.
    """
    capabilities = [
        {"capability": name, "state": state} for name, state in ({"events": True} | dict(settings.capabilities)).items()
    ]
    for side in (source, destination):
        side.execute("migrate-set-capabilities", capabilities=capabilities)
        if settings.shared:
            side.execute("migrate-set-parameters", settings.shared)
    source.execute(
        "migrate-set-parameters",
        {
            "downtime-limit": settings.downtime_limit_ms,
            "max-bandwidth": settings.bandwidth_bytes,
            **settings.parameters,
        },
    )


class _Schedule:
    """The steps that are not taken yet, and the progress of the migration."""

    def __init__(self, steps: Sequence[Step], start: float) -> None:
        self._steps = list(steps)
        self._start = start
        self._rounds = 0
        self.state = ""

    def note(self, event: Mapping[str, Any]) -> None:
        """Update the progress by an event of QEMU."""
        if event["event"] == "MIGRATION":
            self.state = event["data"]["status"]
        else:
            self._rounds = event["data"]["pass"] - 1  # the sync that begins a pass ends the round before

    def take(self, qmp: Qmp) -> None:
        """Take the steps that are due."""
        seconds = time.monotonic() - self._start
        for step in [step for step in self._steps if step.due(self._rounds, seconds, self.state)]:
            self._steps.remove(step)
            try:
                step.act(qmp)
            except QmpRefusedError as error:
                if not refusals.switchover_decided(error):
                    raise

    def wait(self, deadline: float) -> float:
        """Seconds until the next step is due by the clock, or the deadline; at most POLL_SECONDS."""
        now = time.monotonic()
        moments = [self._start + step.after_seconds for step in self._steps if step.after_seconds is not None]
        coming = [moment - now for moment in moments if moment > now]  # a step whose moment is over waits for `ready`
        return min([max(deadline - now, 0.0), *coming, POLL_SECONDS])


def _follow(source: Machine, deadline: float, schedule: _Schedule) -> dict[str, Any]:
    """Wait until the migration ends or the deadline comes; ``query-migrate`` at that moment."""
    try:
        return _wait(source.qmp, deadline, schedule)
    except QmpClosedError:
        source.check_alive()
        raise


def _wait(qmp: Qmp, deadline: float, schedule: _Schedule) -> dict[str, Any]:
    while True:
        if event := qmp.wait_event(("MIGRATION", "MIGRATION_PASS"), schedule.wait(deadline)):
            schedule.note(event)
        if schedule.state in ENDED or time.monotonic() >= deadline:
            break
        schedule.take(qmp)
    info: dict[str, Any] = qmp.execute("query-migrate")
    return info


def _settled(source: Machine) -> dict[str, Any]:
    """``query-migrate`` once it has the downtime: QEMU sets the state before the times."""
    deadline = time.monotonic() + FINISH_SECONDS
    while "downtime" not in (info := source.qmp.execute("query-migrate")) and time.monotonic() < deadline:
        time.sleep(0.02)
    return dict(info)


def _await_arrival(destination: Machine) -> None:
    """Wait until the destination has loaded everything: it has left ``inmigrate``, and postcopy is over."""
    deadline = time.monotonic() + FINISH_SECONDS
    while (status := _incoming(destination.qmp)) == "inmigrate" or status.startswith("postcopy"):
        destination.check_alive()
        if time.monotonic() > deadline:
            raise LabError(f"the migration to {destination.name} completed, but it is still {status}")
        time.sleep(0.02)


def _incoming(qmp: Qmp) -> str:
    """The state of a destination: ``inmigrate``, or else the state of its migration."""
    status = str(qmp.execute("query-status")["status"])
    return status if status == "inmigrate" else str(qmp.execute("query-migrate").get("status", status))
