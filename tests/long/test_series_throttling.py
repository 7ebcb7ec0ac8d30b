"""Syncs that throttling forces from the main thread, in rounds that skip: counted as forced, and no page wrong."""

from __future__ import annotations

from fakedirty.lab.guests.workload import Workload
from fakedirty.lab.migrate import PATIENCE_MS, UNLIMITED, Settings, Step, migrate
from series import TIGHT_MS, assert_equal, pair, rounds, setting

FORCED_SECONDS = 5  # CPU_THROTTLE_DIRTY_SYNC_TIMESLICE_MS: a sync is forced where none was for so long
WORKLOAD = Workload(fake=1500, changed=3000, zero=900, aba=3000, untouched=100, pause_ms=2, memory_mib=64)
# bytes/s. QEMU writes 32 pages in each tenth of a second all the same: a round of all that changes takes 10 seconds or
# more, and the second that crawls is one, whatever the guest did before
CRAWL = 200_000


def test_a_forced_sync_adds_to_its_round() -> None:
    """The bulk round is let through, a later one crawls until syncs were forced in it."""
    settings = Settings(
        TIGHT_MS,
        UNLIMITED,
        parameters={"fake-dirty-mode": "skip", "fake-dirty-switchover": False, "fake-dirty-audit": True},
        capabilities={"auto-converge": True},
    )
    steps = [
        Step(setting({"max-bandwidth": CRAWL}), after_round=1),
        Step(setting({"max-bandwidth": UNLIMITED, "downtime-limit": PATIENCE_MS}), after_seconds=3.6 * FORCED_SECONDS),
    ]
    with pair(WORKLOAD) as (source, destination):
        outcome = migrate(source, destination, settings, time_limit=60, steps=steps)
        assert outcome.status == "completed"
        assert_equal(source, destination)
        history = rounds(source.qmp)
    forced = [each for each in history if each["forced-syncs"]]
    assert forced
    assert all(each["forced"] > 0 and each["kind"] == "iterative" for each in forced)
    assert sum(each["skipped"] for each in history) > 1000
    assert outcome.final["ram"]["dirty-sync-count"] == len(history) + sum(each["forced-syncs"] for each in history)
    assert outcome.final["fake-dirty"]["false-equal"] == 0
