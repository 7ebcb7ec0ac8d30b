"""QMP answers within 200 ms while millions of pages are skipped: by any hash, in huge pages, with the guest throttled.

The same commands are timed with no migration first: what the machine itself adds is no delay of QEMU's.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from typing import Any

import pytest
from answering import Answers, asking
from fakedirty.lab.guests.recipes import build_guest
from fakedirty.lab.guests.workload import Workload
from fakedirty.lab.migrate import UNLIMITED, MigrationResult, Settings, Step, migrate
from fakedirty.lab.network import shaped_network
from fakedirty.lab.qemu import qemu_binary
from fakedirty.lab.rig import Rig
from hugepages import huge_pages, on_huge_pages
from series import assert_equal, rounds, setting

BOUND_SECONDS = 0.2
BASELINE_SECONDS = 3.0
WIRE_BITS = 40_000_000_000  # the bulk round is to be over soon
MILLION = 1_000_000
ASKED = 500  # of each command, while pages are skipped
# bytes/s: a downtime of 1 ms has no room for a single page, one of PATIENCE_MS for all of them
NO_PAGE_A_MS = 2_000_000


@dataclass(frozen=True)
class Case:
    """A guest nearly all of whose pages are fake, and how it is migrated for a while."""

    name: str
    hash: str
    memory_mib: int
    fake: int
    seconds: float
    huge_mib: int = 0
    throttled: bool = False
    changed: int = 500
    toggles: Sequence[Mapping[str, object]] = ()  # one after each round, from the second on
    workload: Workload = field(init=False)

    def __post_init__(self) -> None:
        workload = Workload(fake=self.fake, changed=self.changed, pause_ms=0, memory_mib=self.memory_mib)
        object.__setattr__(self, "workload", workload)


TOGGLES: Sequence[Mapping[str, object]] = (
    {"fake-dirty-mode": "off"},
    {"fake-dirty-mode": "skip"},
    {"fake-dirty-audit": True},
    {"fake-dirty-audit": False, "fake-dirty-hash": "xxh3-128"},
    {"fake-dirty-mode": "observe"},
    {"fake-dirty-mode": "skip"},
)

# Throttling forces a sync from the main thread where a round takes more than 5 s: with so many changed pages at so
# little bandwidth it does, however fast the hash is here.
SLOW_LINK: Sequence[Mapping[str, object]] = ({"max-bandwidth": 60_000_000},)
CASES = (
    Case("small pages", "xxh3-64", 2048, 450_000, 12),
    Case("small pages, slow hash", "sha1", 2048, 450_000, 32, throttled=True),
    Case("huge pages", "xxh3-64", 1024, 250_000, 15, huge_mib=1024),
    Case(
        "huge pages, slowest hash, slow link",
        "md5",
        2048,
        420_000,
        45,
        huge_mib=1024,
        throttled=True,
        changed=90_000,
        toggles=SLOW_LINK,
    ),
    Case("toggles", "xxh3-64", 2048, 450_000, 40, toggles=TOGGLES),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_qmp_answers_while_millions_of_pages_are_skipped(case: Case) -> None:
    with huge_pages(case.huge_mib, 2 * case.memory_mib // case.huge_mib) if case.huge_mib else nullcontext():
        idle, busy, outcome, history = migrated(case)
    figures = f"longest answers: {busy}; with no migration: {idle}"
    print(f"{case.name}: {sum(each['skipped'] for each in history):,} pages skipped; {figures}")
    # where pages are skipped faster than the guest dirties them, rounds shrink until one finds nothing: then it ends
    assert busy.asked >= ASKED
    assert outcome.measured["fake-dirty"]["skipped"] >= MILLION
    if case.huge_mib and case.throttled:
        assert sum(each["forced-syncs"] for each in history) > 0
    assert busy.longest < BOUND_SECONDS + idle.longest, figures


def migrated(case: Case) -> tuple[Answers, Answers, MigrationResult, Sequence[Mapping[str, Any]]]:
    """Answers without and during a migration, what came of it, and its rounds; memory is equal afterwards."""
    more = on_huge_pages(case.memory_mib, case.huge_mib) if case.huge_mib else []
    settings = Settings(
        1,
        UNLIMITED,
        parameters={
            "fake-dirty-mode": "skip",
            "fake-dirty-hash": case.hash,
            "fake-dirty-switchover": False,
            "avail-switchover-bandwidth": NO_PAGE_A_MS,
        },
        capabilities={"auto-converge": case.throttled},
    )
    steps = [Step(setting(toggle), after_round=number) for number, toggle in enumerate(case.toggles, 2)]
    with shaped_network(WIRE_BITS) as network:
        bench = Rig(qemu_binary(), build_guest("baremetal"), case.workload, network, more=more, name="responsive")
        with bench.source() as source, bench.destination() as destination:
            with asking(source.observer_socket) as idle:
                time.sleep(BASELINE_SECONDS)  # a span to measure in, nothing that is waited for
            with ExitStack() as stack:
                busy = stack.enter_context(asking(source.observer_socket))
                # the switchover that is let through afterwards has its own bound, the downtime
                outcome = migrate(
                    source, destination, settings, time_limit=case.seconds, steps=steps, at_limit=stack.close
                )
            assert outcome.status == "completed"
            history = rounds(source.qmp)
            assert_equal(source, destination)
            return idle, busy, outcome, history
