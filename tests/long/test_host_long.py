"""A host for longer: ten thousand scrapes while eight guests move, and ten minutes of guests that come and go."""

from __future__ import annotations

import statistics
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from coming_and_going import LANES, come_and_go, until
from fakedirty.lab.qemu import qemu_binary, stock_binary
from fakedirty.record.load import load
from migrating import SLOW, wait
from recorded import check_prometheus_has_it
from scraping import Scrapers, prometheus, values, wait_for
from serving import service
from test_host import guests

VMS = 8
SCRAPES = 10_000
SECONDS = 600.0
GROWTH_KIB = 8 << 10  # of a process of 200 MiB: what the allocator keeps or gives back


def test_ten_thousand_scrapes_while_eight_guests_move(tmp_path: Path) -> None:
    binaries = {f"vm{number}": qemu_binary() if number % 2 else stock_binary() for number in range(VMS)}
    with (
        guests(tmp_path, **binaries) as vms,
        service(tmp_path, "--listen", "127.0.0.1:0") as daemon,
        prometheus(urlsplit(daemon.metrics).netloc, tmp_path) as address,
    ):
        daemon.wait_for(*(vm.source.pid for vm in vms.values()))
        with Scrapers(daemon.metrics, "fakedirty_visited_pages") as scrapers:
            for number, vm in enumerate(vms.values()):
                mode = {"fake_dirty_mode": "observe"} if number % 2 else {}
                vm.migrate(max_bandwidth=SLOW // 4, downtime_limit=1, autostart=True, **mode)
            while scrapers.scrapes < SCRAPES and not scrapers.faults:
                wait(lambda at=scrapers.scrapes: scrapers.scrapes > at)  # type: ignore[misc]
            for vm in vms.values():
                vm.converge()
            for name in vms:
                daemon.wait_for_recordings(name)
        assert not scrapers.faults
        wait_for(lambda: len(values(address, "fakedirty_migrations_total")) == len(vms))
        recording = load(daemon.out)
        compared = {name: check_prometheus_has_it(address, recording, name) for name in vms}
        print(f"{scrapers.scrapes} scrapes; numbers compared: {compared}")
        assert daemon.stop() == 0, daemon.log
    assert recording.migrations["valid"].all()
    assert not recording.rounds["lost_events"].any()


@pytest.mark.timeout(2 * SECONDS)
def test_ten_minutes_of_guests_that_come_and_go(tmp_path: Path) -> None:
    with service(tmp_path, "--listen", "127.0.0.1:0") as daemon:
        samples = come_and_go(daemon, tmp_path, until(SECONDS))
        assert daemon.stop() == 0, daemon.log
    third = len(samples) // 3
    parts = (samples[third : 2 * third], samples[-third:])
    kib = [statistics.median(held.kib for held in part) for part in parts]
    threads = [statistics.median(held.threads for held in part) for part in parts]  # some last a moment only
    print(
        f"{len(samples) * LANES} guests; KiB after the first {samples[0].kib}, in the middle {kib[0]:.0f}, "
        f"at the end {kib[1]:.0f}; {samples[-1].threads} threads, {samples[-1].descriptors}"
    )
    assert all(held.descriptors == samples[0].descriptors for held in samples)
    assert threads[1] <= threads[0]
    assert kib[1] - kib[0] < GROWTH_KIB
