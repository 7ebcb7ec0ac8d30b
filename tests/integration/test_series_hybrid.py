"""The QEMU series with postcopy: skipped before it, never in it, and what a sweep finds is at the destination.

The destination stays stopped, so that nothing is fetched on request; it is told to continue where that is wanted.
"""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fakedirty.errors import QmpError
from fakedirty.lab.guests.workload import Workload
from fakedirty.lab.machine import Machine
from fakedirty.lab.migrate import PATIENCE_MS, PAUSED, PORT, MigrationResult, Settings, Step, migrate
from fakedirty.model.enums import Mode
from fakedirty.qmp.client import Qmp
from hugepages import huge_pages, on_huge_pages
from migrating import wait
from series import SLOW, STRONG, TIGHT_MS, WORKLOAD, assert_equal, bench, pair, rounds, setting, toggling

POSTCOPY = {"postcopy-ram": True}
SKIP: dict[str, object] = {"fake-dirty-mode": "skip", "fake-dirty-audit": True}
NEVER = {"avail-switchover-bandwidth": 1000}  # no pre-copy is allowed to end by itself
AFTER = 4  # rounds of pre-copy
CREEP = 40_000  # bytes/s: postcopy that is not over before the test has looked at it
TRIES = 5
MANY = Workload(fake=12_000, changed=1_000, pause_ms=20, memory_mib=96)  # the 60k/5k mix, a fifth of it


def start_postcopy(qmp: Qmp) -> None:
    qmp.execute("migrate-start-postcopy")


def go_on(qmp: Qmp) -> None:
    qmp.execute("migrate-continue", state=PAUSED)


def history(source: Machine) -> dict[str, Any]:
    """All that the source has to say of rounds, each held to its laws."""
    rounds(source.qmp)
    said: dict[str, Any] = source.qmp.execute("query-migration-rounds")
    return said


def hybrid(
    source: Machine,
    destination: Machine,
    parameters: Mapping[str, object],
    capabilities: Mapping[str, bool] = POSTCOPY,
    steps: Sequence[Step] = (),
    *,
    bandwidth: int = SLOW,
    limit_ms: int = TIGHT_MS,
    after: int = AFTER,
) -> MigrationResult:
    """Pre-copy for some rounds, then postcopy to the end; the memories are compared."""
    settings = Settings(limit_ms, bandwidth, {**NEVER, **parameters}, {**POSTCOPY, **capabilities})
    begin = Step(start_postcopy, after_round=after)
    outcome = migrate(source, destination, settings, time_limit=60, steps=[*steps, begin])
    assert outcome.status == "completed", outcome.final
    assert outcome.converged
    assert_equal(source, destination)
    return outcome


def assert_totals(source: Machine, outcome: MigrationResult) -> None:
    """Classes and dispositions are those of pre-copy alone, and postcopy sent the rest."""
    said, totals, ram = history(source), outcome.final["fake-dirty"], outcome.final["ram"]
    for name in ("first", "changed", "fake", "normal", "zero", "xbzrle", "unchanged", "skipped"):
        assert sum(each.get(name, 0) for each in said["rounds"]) == totals[name], name
    sent = ram["normal"] + ram["duplicate"]
    assert sent == totals["normal"] + totals["zero"] + said["postcopy"]["pages"]
    assert totals["false-equal"] == 0
    assert totals["table-bytes"] == 0, "hashes are of no use in postcopy"


@pytest.mark.parametrize("capability", ["plain", "postcopy-preempt", "xbzrle", "release-ram", "auto-converge"])
@pytest.mark.parametrize("mode", ["observe", "skip"])
def test_postcopy_after_some_rounds(mode: str, capability: str) -> None:
    capabilities = {} if capability == "plain" else {capability: True}
    with pair() as (source, destination):
        if capability == "release-ram":
            # what was sent is gone at the source, and cannot be compared with anything
            parameters = {**NEVER, **SKIP, "fake-dirty-mode": mode}
            settings = Settings(TIGHT_MS, SLOW, parameters, {**POSTCOPY, **capabilities})
            begin = Step(start_postcopy, after_round=AFTER)
            outcome = migrate(source, destination, settings, time_limit=60, steps=[begin])
            assert outcome.status == "completed"
        else:
            outcome = hybrid(source, destination, {**SKIP, "fake-dirty-mode": mode}, capabilities)
            assert_totals(source, outcome)
        totals = outcome.final["fake-dirty"]
        assert (totals["skipped"] > 0) is (totals["swept"] > 0) is (mode == "skip")


@pytest.mark.parametrize("seed", range(8))
def test_toggles_before_postcopy_at_random_moments(seed: int) -> None:
    chance = random.Random(seed)
    after = chance.randint(0, 7)
    hashes = chance.sample(STRONG, 2)
    steps = [
        Step(toggling(chance.choice([*Mode, Mode.SKIP]), chance.choice(hashes)), after_round=moment)
        for moment in sorted(chance.randint(0, after) for _ in range(chance.randint(0, 4)))
    ]
    # and one as postcopy is decided: it is adopted before, or refused
    if chance.random() < 0.5:
        steps.append(Step(toggling(Mode.SKIP, hashes[0]), after_round=after))
    capabilities = {name: chance.random() < 0.5 for name in ("postcopy-preempt", "xbzrle", "auto-converge")}
    parameters = {
        "fake-dirty-mode": chance.choice(["observe", "skip"]),
        "fake-dirty-hash": hashes[0],
        "fake-dirty-audit": chance.random() < 0.5,
        "fake-dirty-switchover": chance.random() < 0.5,
        "fake-dirty-sweep": chance.random() < 0.8,
    }
    limit_ms = chance.choice([1, 20, 300])
    bandwidth = chance.randint(SLOW // 2, SLOW * 3)
    workload = replace(WORKLOAD, pause_ms=chance.choice([0, 2, 20]))
    with pair(workload) as (source, destination):
        hybrid(
            source, destination, parameters, capabilities, steps, bandwidth=bandwidth, limit_ms=limit_ms, after=after
        )
        history(source)


@pytest.mark.parametrize("sweep", [True, False])
def test_sweeps_halve_what_postcopy_discards_and_keep_the_downtime_limit(sweep: bool) -> None:
    limit_ms = 300
    for _ in range(TRIES):
        with pair(MANY) as (source, destination):
            parameters = {"fake-dirty-mode": "skip", "fake-dirty-sweep": sweep}
            outcome = hybrid(source, destination, parameters, bandwidth=125_000_000, limit_ms=limit_ms, after=2)
            said = history(source)
        left, swept = said["postcopy"]["pages"], outcome.final["fake-dirty"]["swept"]
        if left + swept >= MANY.fake / 2:
            break  # else the guest had no time to rewrite its pages before postcopy began
    else:
        pytest.skip(f"the guest is too slow: {left + swept} pages were dirty when postcopy began")
    if not sweep:
        assert swept == 0
        return
    last = said["rounds"][-1]
    assert last["kind"] == "switchover"
    assert last["end"] - last["start"] <= limit_ms * 1e6 / 2
    assert last["visited"] == last["fake"] == last["skipped"]
    assert last["left"] + said["postcopy"]["marked"] == left
    assert outcome.final["downtime"] <= limit_ms
    assert left <= swept


COARSE = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>

/* the clock of a process that never sees less than a tenth of a second go by */
int clock_gettime(clockid_t clock, struct timespec *now)
{
    static int (*next)(clockid_t, struct timespec *);
    int result;

    if (!next)
        next = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    result = next(clock, now);
    now->tv_nsec -= now->tv_nsec % 100000000;
    return result;
}
"""


def test_a_downtime_of_no_time_at_all_ends_where_postcopy_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """QEMU without the series takes 0 ms for not known, and has the whole of postcopy instead."""
    (tmp_path / "coarse.c").write_text(COARSE)
    shim = tmp_path / "coarse.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", shim, tmp_path / "coarse.c"], check=True)
    bandwidth = 2_000_000
    with bench() as both, both.destination() as destination, ExitStack() as stack:
        with monkeypatch.context() as patch:
            patch.setenv("LD_PRELOAD", str(shim))
            source = stack.enter_context(both.source())
        settings = Settings(TIGHT_MS, SLOW, {**NEVER, "max-postcopy-bandwidth": bandwidth}, POSTCOPY)
        begin = Step(start_postcopy, after_round=2)
        outcome = migrate(source, destination, settings, time_limit=60, steps=[begin])
        assert_equal(source, destination)
    assert outcome.status == "completed"
    assert outcome.final["downtime"] < 1000 * outcome.final["ram"]["postcopy-bytes"] / bandwidth / 2


def test_what_changed_again_is_discarded() -> None:
    """A page that alternates, or goes to zero and back, is verified against what was sent last."""
    workload = Workload(fake=200, zero=900, aba=900, changed=200, pause_ms=0, memory_mib=64)
    with pair(workload) as (source, destination):
        outcome = hybrid(source, destination, SKIP, limit_ms=1000)
        assert_totals(source, outcome)


def test_the_channel_breaks_in_postcopy_and_is_mended() -> None:
    with pair() as (source, destination):
        address = destination.end.address

        def mend(qmp: Qmp) -> None:
            # one that has not even begun with postcopy ends when its channel breaks
            wait(lambda: destination.qmp.execute("query-migrate")["status"] == "postcopy-active")
            qmp.execute("migrate-pause")
            for side in (source, destination):
                wait(lambda side=side: side.qmp.execute("query-migrate")["status"] == "postcopy-paused")
            with pytest.raises(QmpError, match="been decided"):
                qmp.execute("migrate-set-parameters", {"fake-dirty-mode": "off"})
            destination.qmp.execute("migrate-recover", uri=f"tcp:{address}:{PORT + 1}")
            qmp.execute("migrate-set-parameters", {"max-postcopy-bandwidth": 0})
            qmp.execute("migrate", {"uri": f"tcp:{address}:{PORT + 1}", "resume": True})

        steps = [Step(mend, in_state="postcopy-active")]
        outcome = hybrid(source, destination, {**SKIP, "max-postcopy-bandwidth": CREEP}, steps=steps, limit_ms=300)
        assert outcome.final["fake-dirty"]["swept"] > 0
        history(source)


@pytest.mark.parametrize("sweep", [True, False])
def test_on_huge_pages(sweep: bool) -> None:
    # fake and changed pages share host pages: some are swept as a whole, some are marked as a whole
    workload = Workload(fake=3000, changed=600, untouched=1000, pause_ms=5, memory_mib=64)
    with huge_pages(2, 2 * 64 // 2), pair(workload, on_huge_pages(64, 2)) as (source, destination):
        outcome = hybrid(source, destination, {**SKIP, "fake-dirty-sweep": sweep}, limit_ms=1000)
        assert_totals(source, outcome)
        said = history(source)
        assert said["postcopy"]["marked"] > 0
        assert (outcome.final["fake-dirty"]["swept"] > 0) is sweep


def test_a_cancel_while_postcopy_waits_leaves_the_guest_running() -> None:
    settings = Settings(300, SLOW, {**NEVER, **SKIP}, {**POSTCOPY, "pause-before-switchover": True})
    with bench() as both, both.source() as source:
        with both.destination() as destination:
            steps = [
                Step(start_postcopy, after_round=AFTER),
                Step(lambda qmp: qmp.execute("migrate_cancel"), in_state=PAUSED),
            ]
            outcome = migrate(source, destination, settings, time_limit=60, steps=steps)
            assert outcome.status == "cancelled"
            assert outcome.final["fake-dirty"]["swept"] > 0
        wait(lambda: source.qmp.execute("query-status")["status"] == "running")
        with both.destination() as second:
            outcome = migrate(
                source,
                second,
                Settings(PATIENCE_MS, SLOW, SKIP, {**POSTCOPY, "pause-before-switchover": False}),
                time_limit=20,
            )
            assert outcome.status == "completed"
            assert_equal(source, second)


def test_what_is_written_with_the_vm_stopped_for_postcopy() -> None:
    """A pause may last: it is not counted as time of the sweep, and toggles are refused in it."""

    def pause(qmp: Qmp) -> None:
        time.sleep(1)
        with pytest.raises(QmpError, match="been decided"):
            qmp.execute("migrate-set-parameters", {"fake-dirty-mode": "observe"})
        go_on(qmp)

    with pair() as (source, destination):
        outcome = hybrid(
            source,
            destination,
            SKIP,
            {"pause-before-switchover": True},
            [Step(pause, in_state=PAUSED)],
            limit_ms=300,
        )
        said = history(source)
        assert said["rounds"][-1]["kind"] == "switchover"
        assert outcome.final["fake-dirty"]["swept"] > 0


def test_a_change_that_is_not_in_effect_delays_postcopy() -> None:
    def change(qmp: Qmp) -> None:
        setting({"fake-dirty-mode": "observe"})(qmp)
        setting({"fake-dirty-mode": "skip", "fake-dirty-hash": "xxh3-128"})(qmp)
        start_postcopy(qmp)

    with pair() as (source, destination):
        settings = Settings(300, SLOW, {**NEVER, **SKIP}, POSTCOPY)
        outcome = migrate(source, destination, settings, time_limit=60, steps=[Step(change, after_round=AFTER)])
        assert outcome.status == "completed"
        assert_equal(source, destination)
        assert outcome.final["fake-dirty"]["hash"] == "xxh3-128"
        history(source)
