"""XBZRLE's miss rate is of the pages that come to its cache: those that are skipped before it are none of them."""

from __future__ import annotations

from fakedirty.lab.guests.workload import Workload
from fakedirty.lab.migrate import Settings, Step, migrate
from fakedirty.qmp.client import Qmp
from series import SLOW, TIGHT_MS, assert_equal, let_through, pair, rounds

# nearly all that is dirty is skipped; what is not, is far more than the cache has room for
WORKLOAD = Workload(fake=6000, changed=600, untouched=500, pause_ms=2, memory_mib=64)
CACHE_BYTES = 64 << 10
LAST_ROUND = 12
HIGH, LOW = 0.8, 0.4


def test_pages_that_are_skipped_are_not_taken_for_found_in_the_cache() -> None:
    rates: list[float] = []

    def look(qmp: Qmp) -> None:
        rates.append(qmp.execute("query-migrate")["xbzrle-cache"]["cache-miss-rate"])

    parameters = {"fake-dirty-mode": "skip", "fake-dirty-switchover": False}
    settings = Settings(
        TIGHT_MS,
        SLOW // 4,
        parameters=parameters,
        capabilities={"xbzrle": True},
        shared={"xbzrle-cache-size": CACHE_BYTES},
    )
    steps = [Step(look, after_round=number) for number in range(4, LAST_ROUND)]
    with pair(WORKLOAD) as (source, destination):
        outcome = migrate(source, destination, settings, time_limit=120, steps=[*steps, let_through(LAST_ROUND)])
        assert outcome.status == "completed"
        assert_equal(source, destination)
        history = [each for each in rounds(source.qmp) if each["kind"] == "iterative"]
    visited, skipped = (sum(each[name] for each in history) for name in ("visited", "skipped"))
    assert (visited - skipped) / visited < LOW, "so low it would be, were it of all pages"
    assert rates[-1] > HIGH
