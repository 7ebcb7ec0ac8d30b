"""XBZRLE's cache made larger and smaller while pages are skipped beside it: it starts anew each time, and rightly."""

from __future__ import annotations

import pytest
from fakedirty.lab.guests.workload import Workload
from fakedirty.lab.migrate import Settings, Step, migrate
from series import SLOW, assert_equal, let_through, pair, rounds, setting

SIZES = (1 << 16, 1 << 27, 1 << 12, 1 << 22)  # from a single page to more than the guest has
EVERY = 3  # rounds
# so much to encode that the guest has written again before a round is over, and the migration does not end by itself
WORKLOAD = Workload(fake=2000, changed=6000, zero=2000, aba=2000, pause_ms=0, memory_mib=64)


@pytest.mark.parametrize("mode", ["observe", "skip"])
def test_a_resized_cache_changes_no_page(mode: str) -> None:
    settings = Settings(
        1,
        4 * SLOW,
        parameters={"fake-dirty-mode": mode, "fake-dirty-switchover": False, "xbzrle-cache-size": 1 << 26},
        capabilities={"xbzrle": True},
    )
    steps = [Step(setting({"xbzrle-cache-size": size}), after_round=EVERY * at) for at, size in enumerate(SIZES, 1)]
    with pair(WORKLOAD) as (source, destination):
        last = let_through(after_round=EVERY * (len(SIZES) + 1))
        outcome = migrate(source, destination, settings, time_limit=60, steps=[*steps, last])
        assert outcome.status == "completed"
        assert_equal(source, destination)
        history = rounds(source.qmp)
        assert source.qmp.execute("query-migrate-parameters")["xbzrle-cache-size"] == SIZES[-1]
    assert sum(each["xbzrle"] for each in history) > 100
    assert (sum(each["skipped"] for each in history) > 1000) is (mode == "skip")
    totals = outcome.final["fake-dirty"]
    for name in ("normal", "zero", "xbzrle", "unchanged", "skipped", "first", "changed", "fake"):
        assert totals[name] == sum(each[name] for each in history)
    sent = sum(totals[name] for name in ("normal", "zero", "xbzrle", "unchanged", "skipped"))
    assert sent == totals["first"] + totals["changed"] + totals["fake"]
