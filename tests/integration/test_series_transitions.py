"""Every change of mode and of hash, at every moment: read back, seen in the history of rounds, and memory equal.

The moments: before a migration, in its bulk round, in a later one, after it was cancelled, before it is tried again,
and, where it is refused, with the VM stopped for the switchover.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
from fakedirty.lab.guests.workload import Workload
from fakedirty.lab.migrate import Settings, Step, migrate
from fakedirty.qmp.client import Qmp, QmpRefusedError
from migrating import wait
from series import assert_equal, bench, let_through, rounds

LEAST_MS = 1
AT_ONCE = 20  # commands of each client
PAUSED = "pre-switchover"
BULK_MIDDLE = 1 << 20  # bytes sent
BACK, AGAIN, LAST = 2, 5, 8  # rounds after which an attempt is changed, changed again, and ended
# QEMU sends what a tenth of a second allows at once: even a round that skips takes three of them, or it might find that
# the guest has written nothing since, and end by itself
BANDWIDTH = 6_000_000
WORKLOAD = Workload(fake=100, changed=150, zero=150, aba=150, untouched=400, pause_ms=0, memory_mib=64)


@dataclass(frozen=True)
class Setting:
    """What is in effect: a mode and a hash."""

    mode: str
    hash: str = "xxh3-64"

    @property
    def on(self) -> bool:
        return self.mode != "off"

    def set(self, qmp: Qmp) -> None:
        """Set it, and read it back."""
        qmp.execute("migrate-set-parameters", {"fake-dirty-mode": self.mode, "fake-dirty-hash": self.hash})
        assert self.read(qmp.execute("query-migrate-parameters"), "fake-dirty-") == self

    @classmethod
    def read(cls, told: Mapping[str, Any], prefix: str = "") -> Setting:
        """As parameters, a round or the totals have it: a round that ends with the mode off has no hash."""
        mode, name = told[f"{prefix}mode"], f"{prefix}hash"
        return cls(mode, told[name]) if mode != "off" or name in told else cls(mode)


OFF, OBSERVE, SKIP = Setting("off"), Setting("observe"), Setting("skip")
CHANGES = (
    (OFF, OBSERVE),
    (OFF, SKIP),
    (OBSERVE, OFF),
    (OBSERVE, SKIP),
    (SKIP, OFF),
    (SKIP, OBSERVE),
    (OBSERVE, Setting("observe", "md5")),
    (SKIP, Setting("skip", "murmur3-128")),
    (OBSERVE, Setting("skip", "sha1")),
)


def in_bulk(after: Setting) -> Step:
    """The change in the middle of the bulk round."""

    def act(qmp: Qmp) -> None:
        wait(lambda: qmp.execute("query-migrate").get("ram", {"transferred": 0})["transferred"] > BULK_MIDDLE)
        after.set(qmp)

    return Step(act, after_round=0)


def in_switchover(after: Setting) -> Step:
    """The change with the VM stopped, which is refused: the switchover was decided without it. It goes on."""

    def act(qmp: Qmp) -> None:
        assert qmp.execute("query-status")["status"] == "finish-migrate"
        with pytest.raises(QmpRefusedError, match="has been decided"):
            after.set(qmp)
        qmp.execute("migrate-continue", state=PAUSED)

    return Step(act, in_state=PAUSED)


@pytest.mark.parametrize(("before", "after"), CHANGES, ids=lambda setting: f"{setting.mode},{setting.hash}")
def test_a_change_takes_effect_at_any_moment(before: Setting, after: Setting) -> None:
    settings = Settings(
        LEAST_MS,
        BANDWIDTH,
        parameters={"fake-dirty-switchover": False},
        capabilities={"pause-before-switchover": True},
    )
    with bench(WORKLOAD) as both, both.source() as source:
        after.set(source.qmp)
        before.set(source.qmp)
        with both.destination() as destination:
            steps = [
                in_bulk(after),
                Step(before.set, after_round=BACK),
                Step(after.set, after_round=AGAIN),
                Step(lambda qmp: qmp.execute("migrate_cancel"), after_round=LAST, in_state=PAUSED),
            ]
            outcome = migrate(source, destination, settings, time_limit=60, steps=steps)
        assert outcome.status == "cancelled"
        bulk, *later = rounds(source.qmp)
        assert len(later) >= LAST - 1, "it must not end by itself"
        assert bulk["kind"] == "bulk"
        assert Setting.read(bulk) == after
        assert ("fake" in bulk) is (before.on and after.on), "classes of a round in which the mode was off are unknown"
        assert_in_turn(later, after, before, after)
        assert Setting.read(outcome.final["fake-dirty"]) == after
        assert outcome.final["fake-dirty"]["table-bytes"] == 0

        for setting in (before, after, before):  # after the cancel, and before the retry
            setting.set(source.qmp)
        with both.destination() as destination:
            steps = [Step(after.set, after_round=0), Step(before.set, after_round=BACK)]
            steps += [let_through(after_round=LAST), in_switchover(after)]
            outcome = migrate(source, destination, settings, time_limit=60, steps=steps)
            assert outcome.status == "completed"
            assert_equal(source, destination)
        history = rounds(source.qmp)
        assert_in_turn(history, after, before)
        switchover = history[-1]
        assert switchover["kind"] == "switchover"
        assert Setting.read(switchover) == before
        if before.on:
            assert Setting.read(outcome.final["fake-dirty"]) == before
            assert switchover["fake"] > 0, "what was sent before is known"
        assert (switchover["skipped"] > 0) is (before.mode == "skip")


def assert_in_turn(history: list[Mapping[str, Any]], *settings: Setting) -> None:
    """The settings of the rounds' ends are these, one after the other, each for at least one round."""
    found: list[Setting] = []
    for each in map(Setting.read, history):
        if not found or found[-1] != each:
            found.append(each)
    if found[-1] != settings[-1]:
        found.pop()  # the switchover's own
    assert tuple(found) == settings


def test_a_capability_asked_for_at_the_same_moment_changes_nothing() -> None:
    """Two clients at once, while a migration runs: one toggles the mode, the other is refused any capability."""
    wanted = [{"capability": "dirty-bitmaps", "state": True}]
    with bench(WORKLOAD) as both, both.source() as source, both.destination() as destination:
        with Qmp.connect(source.observer_socket) as other, ThreadPoolExecutor() as pool:

            def ask() -> None:
                for _ in range(AT_ONCE):
                    with pytest.raises(QmpRefusedError, match="in progress"):
                        other.execute("migrate-set-capabilities", capabilities=wanted)

            def meet(qmp: Qmp) -> None:
                asking = pool.submit(ask)
                for _ in range(AT_ONCE):
                    for setting in (OFF, SKIP):
                        setting.set(qmp)
                asking.result()

            settings = Settings(LEAST_MS, BANDWIDTH, parameters={"fake-dirty-switchover": False})
            steps = [Step(meet, after_round=BACK), let_through(after_round=LAST)]
            outcome = migrate(source, destination, settings, time_limit=60, steps=steps)
        assert outcome.status == "completed"
        assert_equal(source, destination)
        assert Setting.read(rounds(source.qmp)[-1]) == SKIP
