"""A destination that dies: before the point of no return the guest runs on at the source, and never after it.

The guest has devices whose state is larger than what the sockets of both sides take. The source then cannot leave the
stop of postcopy before the destination has read, and whoever kills the destination before does it in that phase.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest
from fakedirty.lab.fuzz.small_sockets import LARGE_DEVICE_STATE, small_buffers
from fakedirty.lab.machine import Machine
from fakedirty.lab.migrate import PAUSED, PORT, POSTCOPY, MigrationResult, Settings, Step, migrate, set_up
from fakedirty.lab.migration_thread import waits_to_send
from fakedirty.lab.rig import Rig
from fakedirty.qmp.client import Qmp, QmpRefusedError
from migrating import wait
from series import SLOW, assert_equal, bench, rounds, setting

AFTER = 4  # rounds of pre-copy
BROKEN = "postcopy-paused"
ENDS_SECONDS = 60
CREEP = 40_000  # bytes/s: postcopy that is not over before the destination is killed
SKIP: dict[str, object] = {
    "fake-dirty-mode": "skip",
    "avail-switchover-bandwidth": 1000,  # no pre-copy is allowed to end by itself
    "max-postcopy-bandwidth": CREEP,
}
HYBRID = {"postcopy-ram": True, "pause-before-switchover": True}


@contextmanager
def narrow() -> Iterator[Rig]:
    """The bench with a guest whose devices have much state, and sockets that take little."""
    with bench(more=LARGE_DEVICE_STATE) as both:
        assert both.network
        with small_buffers(both.network.source, both.network.destination):
            yield both


def kill(destination: Machine) -> None:
    destination.process.kill()
    destination.process.wait()


def start_postcopy(qmp: Qmp) -> None:
    qmp.execute("migrate-start-postcopy")


def go_on(qmp: Qmp) -> None:
    qmp.execute("migrate-continue", state=PAUSED)


def state(side: Machine) -> str:
    """Of its migration."""
    return str(side.qmp.execute("query-migrate").get("status", "none"))


def death(phase: str, source: Machine, destination: Machine) -> Step:
    """What kills the destination in a phase of a migration that is left to postcopy."""

    def die(qmp: Qmp) -> None:
        kill(destination)

    def die_in_the_pause(qmp: Qmp) -> None:
        kill(destination)
        go_on(qmp)

    def die_in_the_stop(qmp: Qmp) -> None:
        destination.process.send_signal(signal.SIGSTOP)  # it reads nothing any more
        go_on(qmp)
        wait(lambda: waits_to_send(source.pid))
        kill(destination)

    return {
        "bulk round": Step(die, in_state="active"),
        "later round": Step(die, after_round=AFTER - 1),
        "pause before postcopy": Step(die_in_the_pause, in_state=PAUSED),
        "stop of postcopy": Step(die_in_the_stop, in_state=PAUSED),
    }[phase]


def hybrid(source: Machine, destination: Machine, steps: Sequence[Step] = ()) -> MigrationResult:
    """Some rounds of pre-copy, then postcopy, unless a step ends that."""
    begin = Step(start_postcopy, after_round=AFTER)
    return migrate(source, destination, Settings(300, SLOW, SKIP, HYBRID), time_limit=60, steps=[begin, *steps])


@pytest.mark.parametrize("phase", ["bulk round", "later round", "pause before postcopy", "stop of postcopy"])
def test_before_the_point_of_no_return_the_guest_runs_on(phase: str) -> None:
    """Whatever was swept: nothing of the attempt is left, and the next migration moves all of the guest."""
    with narrow() as both, both.source() as source:
        with both.destination() as destination:
            outcome = hybrid(source, destination, [death(phase, source, destination)])
            assert outcome.status == "failed", outcome.final
            assert (outcome.final["fake-dirty"].get("swept", 0) > 0) is phase.endswith("postcopy")
        wait(lambda: source.qmp.execute("query-status")["status"] == "running")
        assert "postcopy" not in source.qmp.execute("query-migration-rounds")
        assert (len(rounds(source.qmp)) == 1) is (phase == "bulk round")
        wait(lambda: source.qmp.execute("query-migrate")["fake-dirty"]["table-bytes"] == 0)
        with both.destination() as second:
            faster = Step(setting({"max-postcopy-bandwidth": 0}), in_state=POSTCOPY)
            outcome = hybrid(source, second, [Step(go_on, in_state=PAUSED), faster])
            assert outcome.status == "completed", outcome.final
            assert_equal(source, second)
            assert rounds(source.qmp)[0]["first"] > 0, "nothing is known of what the first destination had"


def test_in_postcopy_the_guest_runs_nowhere_twice() -> None:
    """It is paused, as the destination may have run: the source keeps its memory, and is left to whoever manages it."""
    with narrow() as both, both.source() as source, both.destination() as destination:
        set_up(source.qmp, destination.qmp, Settings(300, SLOW, SKIP, {**HYBRID, "pause-before-switchover": False}))
        assert destination.end
        uri = f"tcp:{destination.end.address}:{PORT}"
        destination.qmp.execute("migrate-incoming", uri=uri)
        source.qmp.execute("migrate", uri=uri)
        wait(lambda: len(rounds(source.qmp)) >= AFTER)
        start_postcopy(source.qmp)
        for side in (source, destination):
            wait(lambda side=side: state(side) == POSTCOPY)
        kill(destination)
        wait(lambda: state(source) == BROKEN)
        assert source.qmp.execute("query-status")["status"] == "finish-migrate"
        assert "RESUME" not in [event["event"] for event in source.qmp.drain_events()]
        for command in ({"fake-dirty-mode": "off"}, {"fake-dirty-hash": "md5"}):
            with pytest.raises(QmpRefusedError, match="been decided"):
                source.qmp.execute("migrate-set-parameters", command)
        with pytest.raises(QmpRefusedError, match="in progress"):
            source.qmp.execute("migrate", uri=uri)
        assert source.qmp.execute("query-migrate")["fake-dirty"]["swept"] > 0
        rounds(source.qmp)
        # it still ends in order
        source.qmp.execute("quit")
        assert source.process.wait(ENDS_SECONDS) == 0
