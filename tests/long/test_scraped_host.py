"""Eight guests migrate with page records while somebody scrapes every second: no event is lost."""

from __future__ import annotations

import os
import threading
import time
import urllib.request
from pathlib import Path

import pytest
from fakedirty.record.load import load
from scraping import OPENMETRICS, PATIENCE
from serving import service
from test_observe_many import check, migrate_all, truthful

pytestmark = [
    pytest.mark.timeout(1800),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: for BPF"),
]


class EverySecond:
    """A client that scrapes once a second, as Prometheus asks for it."""

    def __init__(self, url: str) -> None:
        self.seconds: list[float] = []
        self._url = url
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._scrape)

    def __enter__(self) -> EverySecond:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _scrape(self) -> None:
        request = urllib.request.Request(self._url, headers=OPENMETRICS)
        while not self._over.wait(1):
            began = time.monotonic()
            with urllib.request.urlopen(request, timeout=PATIENCE) as response:
                response.read()
            self.seconds.append(time.monotonic() - began)


def test_no_event_is_lost_while_eight_guests_migrate_and_somebody_scrapes(tmp_path: Path) -> None:
    with truthful(tmp_path) as vms, service(tmp_path, "--pages", "--listen", "127.0.0.1:0") as daemon:
        daemon.wait_for(*(vm.source.pid for vm in vms.values()))
        with EverySecond(daemon.metrics) as client:
            migrate_all(vms, syncs=12)  # some ten seconds
            for name, vm in vms.items():
                [directory] = daemon.wait_for_recordings(name)
                check(directory, vm)
        assert daemon.stop() == 0, daemon.log
    print(f"{len(client.seconds)} scrapes, the longest took {max(client.seconds) * 1e3:.0f} ms")
    assert len(client.seconds) > 5
    assert not load(daemon.out).rounds["lost_events"].any()
