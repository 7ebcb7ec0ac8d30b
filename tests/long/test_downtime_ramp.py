"""A manager raises the downtime limit from 150 to 1,050 ms, a step every ten seconds, and is followed while it does."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise

import pytest
from fakedirty.lab.guests.recipes import build_guest
from fakedirty.lab.guests.workload import Workload
from fakedirty.lab.migrate import Settings, Step, migrate
from fakedirty.lab.network import shaped_network
from fakedirty.lab.qemu import qemu_binary
from fakedirty.lab.rig import Rig, compared
from fakedirty.qmp.client import Qmp
from observing import observe
from prometheus_client.parser import text_string_to_metric_families
from scraping import fetch, free_port

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: for BPF")

STEP_SECONDS, STEP_MS, LAST_MS = 10, 150, 1050
# 20,000 pages take some 0.7 s over 1 Gbit/s: the limits that do are the last ones
WORKLOAD = Workload(fake=15_000, changed=5_000)


@dataclass(frozen=True)
class Scrape:
    """What `/metrics` had of the migration at one moment."""

    at: float
    limit_ms: int | None
    converges: bool | None
    needed_ms: float | None


def scrape(url: str) -> Scrape:
    found = {}
    for family in text_string_to_metric_families(fetch(url).decode()):
        for sample in family.samples:
            found[sample.name, sample.labels.get("plan", ""), sample.labels.get("estimate", "")] = sample.value
    limit = found.get(("fakedirty_verdict_limit_seconds", "", ""))
    converges = found.get(("fakedirty_verdict_converges", "as-is", ""))
    needed = found.get(("fakedirty_recommended_downtime_limit_seconds", "as-is", "expected"))
    return Scrape(
        time.monotonic(),
        None if limit is None else round(limit * 1000),
        None if converges is None else converges == 1,
        None if needed is None else needed * 1000,
    )


@contextmanager
def scraped(url: str) -> Iterator[list[Scrape]]:
    """Scrapes twice a second, by a thread of their own."""
    found: list[Scrape] = []
    over = threading.Event()

    def run() -> None:
        while not over.wait(0.5):
            found.append(scrape(url))

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()


def test_a_ramp_is_followed_within_a_step() -> None:
    raised: list[tuple[float, int]] = []

    def raise_to(qmp: Qmp, limit_ms: int) -> None:
        qmp.execute("migrate-set-parameters", {"downtime-limit": limit_ms})
        raised.append((time.monotonic(), limit_ms))

    limits = range(2 * STEP_MS, LAST_MS + 1, STEP_MS)
    steps = [
        Step(lambda qmp, limit_ms=limit_ms: raise_to(qmp, limit_ms), after_seconds=number * STEP_SECONDS)  # type: ignore[misc]
        for number, limit_ms in enumerate(limits, 1)
    ]
    port = free_port()
    with shaped_network() as network:
        rig = Rig(qemu_binary(), build_guest("linux"), WORKLOAD, network, name="ramp")
        with rig.source() as source, rig.destination() as destination:
            arguments = ("--pid", str(source.pid), "--level", "patched", "--listen", f"127.0.0.1:{port}")
            with observe(*arguments), scraped(f"http://127.0.0.1:{port}/metrics") as scrapes:
                start = time.monotonic()
                parameters = {"fake-dirty-mode": "observe"}
                settings = Settings(STEP_MS, parameters=parameters)
                outcome = migrate(source, destination, settings, time_limit=90, steps=steps)
                end = time.monotonic()
            assert outcome.converged, "the last limits are long enough"
            assert compared(source, destination).equal
    ramp = [(start, STEP_MS), *raised, (end, LAST_MS)]
    assert len(ramp) > 4, "several limits were too short"
    seen = [each for each in scrapes if each.at <= end and each.limit_ms is not None]
    for (begins, limit_ms), (ends, _) in list(pairwise(ramp))[:-1]:
        within = [each.limit_ms for each in seen if begins <= each.at < ends]
        assert limit_ms in within, f"{limit_ms} ms was not seen before the next step: {within}"
    reached_ms = ramp[-2][1]
    needed = [each.needed_ms for each in seen if each.needed_ms is not None]
    assert needed
    # QEMU goes by the rate of the last tenth of a second, and the recommendation by that of a whole round
    assert abs(reached_ms - needed[len(needed) // 2]) <= STEP_MS, needed
    wrong = [each for each in seen if each.converges and (each.limit_ms or 0) < reached_ms]
    assert len(wrong) < len(seen) / 10, f"an end was expected under limits that were too short: {wrong}"
