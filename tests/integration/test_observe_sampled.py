"""A sample beside the whole, on the same migration: counts are exact, estimates near, and said to be estimates."""

from __future__ import annotations

from pathlib import Path

from fakedirty.lab.qemu import qemu_binary
from fakedirty.model.enums import Level
from fakedirty.model.sampling import wilson
from fakedirty.observe.host.target import by_pid
from fakedirty.observe.live import LiveTrace
from fakedirty.observe.observer import Observer
from migrating import SLOW, Notes, observed, pair, running, wait


def test_one_page_of_four(tmp_path: Path) -> None:
    one_page_of_four(Level.STOCK, tmp_path)


def one_page_of_four(level: Level, tmp_path: Path) -> None:
    whole, sampled = Notes(), Notes()
    with pair(qemu_binary(), tmp_path) as vm:
        trace = LiveTrace(by_pid(vm.source.pid), level, monitor=tmp_path / "none", sample=4)
        with observed(vm.source, level, [whole]), running(Observer(trace, [sampled])):
            vm.migrate(max_bandwidth=SLOW, downtime_limit=1)
            vm.wait_for_syncs(8)
            ram = vm.converge()["ram"]
            wait(lambda: len(whole.over) == len(sampled.over) == 1)
    [exact], [estimate] = whole.over, sampled.over
    assert (exact.valid, estimate.valid) == (True, None), estimate.reasons  # it has no monitor, and so no totals
    assert estimate.total("normal_pages") == ram["normal"]
    assert estimate.total("zero_pages") == ram["duplicate"]
    assert all(entry.sampled_pages is None for entry in exact.rounds)
    within = []
    for true, guessed in zip(exact.rounds, estimate.rounds, strict=True):
        assert guessed.sampled_pages is not None
        assert guessed.visited_pages == true.visited_pages
        if true.kind.value and (true.visited_pages or 0) > 100:
            assert 0 < guessed.sampled_pages < (true.visited_pages or 0)
            within.append((guessed.fake_pages_low or 0) <= (true.fake_pages or 0) <= (guessed.fake_pages_high or 0))
            # one migration in twenty lies outside of 95 %; none of them outside of this
            seen = round((guessed.fake_pages or 0) * guessed.sampled_pages / (guessed.visited_pages or 1))
            low, high = wilson(seen, guessed.sampled_pages, z=5)
            assert low <= (true.fake_pages or 0) / (true.visited_pages or 1) <= high
    print(f"{sum(within)} of {len(within)} rounds within their interval")
    assert len(within) >= 5
    bulk = estimate.rounds[0]
    assert abs((bulk.sampled_pages or 0) / (bulk.visited_pages or 1) - 1 / 4) < 0.05
