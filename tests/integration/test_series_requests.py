"""The QEMU series with postcopy, and a guest that runs at the destination: what it misses is sent at once.

Nothing is left to compare the memory with. It is held against the law of the guest's pages instead: every page is as
the last sweep or the one under way leaves it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from fakedirty.lab.guests.content import PAGE_WORDS, check_content
from fakedirty.lab.guests.serial_report import GuestReport
from fakedirty.lab.guests.workload import Workload
from fakedirty.lab.machine import Machine
from fakedirty.lab.memory_compare import Side, block_content
from fakedirty.lab.migrate import PORT, POSTCOPY, Settings, Step, migrate
from fakedirty.qmp.client import Qmp
from migrating import wait
from series import SLOW, bench, rounds, setting

WORKLOAD = Workload(fake=600, changed=300, zero=200, aba=200, phased=200, untouched=500, pause_ms=2, memory_mib=64)
AFTER = 4  # rounds of pre-copy
CREEP = 40_000  # bytes/s: only what is requested is there soon
REQUESTS = 10
URGENT = "postcopy_preempt_send_host_page"  # QEMU traces it where the thread of the return path sends a page
BROKEN = "postcopy-paused"


@contextmanager
def running_pair() -> Iterator[tuple[Machine, Machine, GuestReport]]:
    """A source whose guest sweeps, a destination where it will run on, and what the guest says of its pages."""
    reports: list[GuestReport] = []

    def sweeping(report: GuestReport) -> bool:
        reports[:] = [report]
        return bool(report.sweeps)

    with bench(WORKLOAD) as both, both.source(sweeping) as source, both.destination(runs=True) as destination:
        yield source, destination, reports[0]


def requests(source: Machine) -> int:
    """How many pages the destination has asked for."""
    return int(source.qmp.execute("query-migrate")["ram"]["postcopy-requests"])


def assert_lawful(destination: Machine, report: GuestReport) -> None:
    """Every page of every set is what a sweep of the guest has left there."""
    destination.qmp.execute("stop")
    memory = np.frombuffer(block_content(Side(destination.qmp, destination.pid), "pc.ram"), np.uint32)
    content = check_content(memory.reshape(-1, PAGE_WORDS), report)
    assert content.right, str(content)


def mend(source: Machine, destination: Machine) -> None:
    """Break the link in postcopy, and go on over another."""
    assert destination.end
    uri = f"tcp:{destination.end.address}:{PORT + 1}"
    source.qmp.execute("migrate-pause")
    for side in (source, destination):
        wait(lambda side=side: side.qmp.execute("query-migrate")["status"] == BROKEN)
    destination.qmp.execute("migrate-recover", uri=uri)
    source.qmp.execute("migrate", uri=uri, resume=True)


@pytest.mark.parametrize("broken", [False, True], ids=["intact", "mended"])
@pytest.mark.parametrize("sweep", [True, False], ids=["swept", "not swept"])
@pytest.mark.parametrize("preempt", [True, False], ids=["preempt", "plain"])
def test_pages_that_the_guest_asks_for(preempt: bool, sweep: bool, broken: bool) -> None:
    parameters: dict[str, Any] = {
        "fake-dirty-mode": "skip",
        "fake-dirty-sweep": sweep,
        "avail-switchover-bandwidth": 1000,
        "max-postcopy-bandwidth": CREEP,
    }
    settings = Settings(300, SLOW, parameters, {"postcopy-ram": True, "postcopy-preempt": preempt})
    with running_pair() as (source, destination, report):
        source.qmp.execute("trace-event-set-state", name=URGENT, enable=True)

        asked_for: list[int] = []

        def enough() -> bool:
            asked_for.append(requests(source))
            return asked_for[-1] >= REQUESTS

        def go_on(qmp: Qmp) -> None:
            wait(enough)
            if broken:
                mend(source, destination)
            setting({"max-postcopy-bandwidth": 0})(qmp)

        asked = Step(go_on, in_state=POSTCOPY)
        begin = Step(lambda qmp: qmp.execute("migrate-start-postcopy"), after_round=AFTER)
        outcome = migrate(source, destination, settings, time_limit=60, steps=[begin, asked])
        assert outcome.status == "completed", outcome.final
        assert outcome.converged
        assert_lawful(destination, report)

        history, totals, ram = rounds(source.qmp), outcome.final["fake-dirty"], outcome.final["ram"]
        left = source.qmp.execute("query-migration-rounds")["postcopy"]["pages"]
        sent = sum(each["normal"] + each["zero"] for each in history) + left
        # what a link loses is sent again
        assert sent == ram["normal"] + ram["duplicate"] or (broken and sent < ram["normal"] + ram["duplicate"])
        assert ram["postcopy-requests"] >= asked_for[-1] >= REQUESTS
        assert (totals["swept"] > 0) is sweep
        assert totals["skipped"] == sum(each["skipped"] for each in history) > 0
        assert (URGENT in (source.directory / "stderr.log").read_text()) is preempt
