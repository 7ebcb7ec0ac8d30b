"""A guest in one huge page of 1 GiB, of 262,144 target pages: all kinds of pages, skipped where that is right."""

from __future__ import annotations

import pytest
from fakedirty.lab.guests.workload import Workload
from fakedirty.lab.migrate import Settings, migrate
from hugepages import huge_pages, on_huge_pages
from series import SLOW, TIGHT_MS, assert_equal, let_through, pair, rounds

GIB = Workload(fake=1500, changed=300, zero=300, aba=300, untouched=500, pause_ms=2, memory_mib=1024, stride=64)


@pytest.mark.parametrize("xbzrle", [False, True], ids=["plain", "xbzrle"])
def test_skipping_is_right_within_a_huge_page(xbzrle: bool) -> None:
    parameters = {"fake-dirty-mode": "skip", "fake-dirty-switchover": False, "fake-dirty-audit": True}
    settings = Settings(TIGHT_MS, 2 * SLOW, parameters=parameters, capabilities={"xbzrle": xbzrle})
    with huge_pages(1024, 2), pair(GIB, on_huge_pages(1024, 1024)) as (source, destination):
        outcome = migrate(source, destination, settings, time_limit=120, steps=[let_through(after_round=8)])
        assert outcome.status == "completed"
        assert_equal(source, destination)
        history = rounds(source.qmp)
    assert sum(each["skipped"] for each in history) > 1000
    assert outcome.final["fake-dirty"]["false-equal"] == 0
