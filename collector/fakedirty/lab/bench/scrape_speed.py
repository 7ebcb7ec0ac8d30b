"""The cost of a scrape of the metrics, by the number of VMs: in the exporter alone, and over HTTP."""

from __future__ import annotations

import http.client
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from urllib.parse import urlsplit

from fakedirty.errors import LabError
from fakedirty.export.exporter import Exporter
from fakedirty.export.host import AttachedCounts
from fakedirty.export.routes import OPENMETRICS, PATH, MetricsText, metrics_routes
from fakedirty.model.enums import Kind, Level, Mode
from fakedirty.model.events import Event, FinalReport, ModeChanged, RoundEnded, StateChanged
from fakedirty.model.migration import Migration
from fakedirty.model.round import Round
from fakedirty.web.server import serve

ROUNDS = 70  # of each migration: more than have series of their own
EVENT_SECONDS = 0.001  # between two events, for a thread that reads them during a scrape

ACCEPT = f"{OPENMETRICS};version=1.0.0"
# how HTTP clients ask: for Prometheus' own format, and as Prometheus itself does
HEADERS: Mapping[str, Mapping[str, str]] = {
    "HTTP": {},
    "HTTP, OpenMetrics, gzip": {"Accept": ACCEPT, "Accept-Encoding": "gzip"},
}
WRITTEN, WRITTEN_OPENMETRICS = "written", "written, OpenMetrics"  # in the exporter alone
WAYS = (WRITTEN, WRITTEN_OPENMETRICS, *HEADERS)

# what has happened since the scrape before: each VM that migrates has had so many rounds
NEWS = {"a round of each VM that migrates": 1, "nothing": 0}


@dataclass(frozen=True, slots=True)
class ScrapeJob:
    """One run: `vms` are attached, `migrated` of them have migrated once, and `migrating` migrate now."""

    repetition: int
    vms: int
    migrating: int
    migrated: int


@dataclass(frozen=True, slots=True)
class ScrapeSpeed:
    """Milliseconds by news and way, and bytes by way.

    `first_ms` is the time of the first scrape of all, `round_us` the time that the observer's thread spends in the
    exporter for a round, and `late_ms` the longest time by which a thread that reads events came too late meanwhile.
    """

    job: ScrapeJob
    series: int
    round_us: float
    first_ms: float
    late_ms: float
    ms: Mapping[str, Mapping[str, float]]
    bytes: Mapping[str, int]


HOSTS = ((1, 1, 1), (50, 2, 0), (50, 2, 50), (200, 200, 200), (500, 500, 500))  # VMs, migrating, migrated


def scrape_jobs(repetitions: int) -> Iterator[ScrapeJob]:
    """Each host in every repetition."""
    return (ScrapeJob(number, *host) for number in range(1, repetitions + 1) for host in HOSTS)


def measure_scrapes(job: ScrapeJob) -> ScrapeSpeed:
    """Make an exporter of such a host, and scrape it in every way."""
    host = _Host(job, random.Random(job.vms))
    round_us = host.seconds / host.rounds * 1e6
    metrics = MetricsText(host.exporter)
    with serve(metrics_routes(host.exporter), port=0) as url, _EventReader() as reader:
        ways: dict[str, Callable[[], bytes]] = {
            WRITTEN: lambda: metrics.write()[0],
            WRITTEN_OPENMETRICS: lambda: metrics.write(ACCEPT)[0],
            **{name: partial(_fetch, url + PATH, headers) for name, headers in HEADERS.items()},
        }
        first_ms, text = _timed(ways[WRITTEN_OPENMETRICS])
        ms: dict[str, dict[str, float]] = {news: {} for news in NEWS}
        sizes = {}
        for way, scrape in ways.items():
            for news, rounds in NEWS.items():
                host.go_on(rounds)
                ms[news][way], content = _timed(scrape)
            sizes[way] = len(content)
    series = sum(not line.startswith(b"#") for line in text.splitlines())
    return ScrapeSpeed(job, series, round_us, first_ms, reader.late_ms, ms, sizes)


class _Host:
    """An exporter and its VMs."""

    def __init__(self, job: ScrapeJob, chance: random.Random) -> None:
        attached = [AttachedCounts(f"vm-{number}", number + 1, "patched", 7) for number in range(job.vms)]
        self.exporter = Exporter(attached=lambda: attached)
        self.seconds, self.rounds = 0.0, 0
        self._chance = chance
        for number in range(job.migrated):
            self._end(self._migrate(f"vm-{number}", f"first-{number}"))
        self._running = [self._migrate(f"vm-{number}", f"second-{number}") for number in range(job.migrating)]

    def go_on(self, rounds: int) -> None:
        """So many more rounds of each VM that migrates."""
        for migration in self._running * rounds:
            self._round(migration, Kind.ITERATIVE)

    def _migrate(self, vm: str, migration_id: str) -> Migration:
        migration = Migration(vm, Level.PATCHED, migration_id, 0)
        self.exporter.started(migration)
        self._apply(migration, ModeChanged(0, 0, Mode.OFF, Mode.SKIP, "xxh3-64"))
        for number in range(ROUNDS):
            self._round(migration, Kind.ITERATIVE if number else Kind.BULK)
        return migration

    def _end(self, migration: Migration) -> None:
        self._round(migration, Kind.SWITCHOVER)
        self._apply(migration, StateChanged(0, "completed"))
        self._apply(migration, FinalReport(0, {"total-time": 6900, "downtime": self._chance.randrange(300)}))
        self.exporter.ended(migration)

    def _round(self, migration: Migration, kind: Kind) -> None:
        event = RoundEnded(0, _drawn(len(migration.rounds) + 1, kind, self._chance))
        migration.apply(event)
        began = time.perf_counter()
        self.exporter.changed(migration, event)
        self.seconds += time.perf_counter() - began
        self.rounds += 1

    def _apply(self, migration: Migration, event: Event) -> None:
        migration.apply(event)
        self.exporter.changed(migration, event)


class _EventReader:
    """A thread that has something to do every EVENT_SECONDS, as one that reads events from the kernel has."""

    def __init__(self) -> None:
        self.late_ms = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._read)

    def __enter__(self) -> _EventReader:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _read(self) -> None:
        while not self._over.is_set():
            began = time.perf_counter()
            time.sleep(EVENT_SECONDS)
            self.late_ms = max(self.late_ms, (time.perf_counter() - began - EVENT_SECONDS) * 1e3)


def _drawn(number: int, kind: Kind, chance: random.Random) -> Round:
    """A round of which everything was seen."""
    fake, changed, left = chance.randrange(1, 60_000), chance.randrange(5_000), chance.randrange(100)
    visited = fake + changed
    return Round(
        number, kind, Mode.SKIP, "xxh3-64", float(number), chance.expovariate(1.0),
        dirty_pages=visited + left, forced_pages=0, visited_pages=visited,
        first_pages=0, changed_pages=changed, fake_pages=fake,
        zero_pages=0, normal_pages=changed, xbzrle_pages=0, unchanged_pages=0, skipped_pages=fake,
        left_pages=left, hinted_pages=0,
        transferred_bytes=changed * 4100, saved_bytes=fake * 4100, hash_seconds=visited * 2e-7, forced_syncs=0,
    )  # fmt: skip


def _timed(scrape: Callable[[], bytes]) -> tuple[float, bytes]:
    began = time.perf_counter()
    content = scrape()
    return (time.perf_counter() - began) * 1e3, content


def _fetch(url: str, headers: Mapping[str, str]) -> bytes:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=60)
    try:
        connection.request("GET", parts.path, headers=dict(headers))
        response = connection.getresponse()
        content = response.read()
    finally:
        connection.close()
    if response.status != HTTPStatus.OK:
        raise LabError(f"{url} answers {response.status} {response.reason}")
    return content
