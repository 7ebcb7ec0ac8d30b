"""What a scrape of the metrics costs, by the number of VMs: in the exporter alone, and over HTTP."""

from __future__ import annotations

import http.client
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from urllib.parse import urlsplit

from fakedirty.errors import LabError
from fakedirty.export.exporter import Exporter
from fakedirty.model.enums import Kind, Level, Mode
from fakedirty.model.events import Event, FinalReport, ModeChanged, RoundEnded, StateChanged
from fakedirty.model.migration import Migration
from fakedirty.model.round import Round
from fakedirty.web.serve import serve

VMS = (1, 50, 200, 500)
ROUNDS = 70  # of each migration: more than are shown

OPENMETRICS = "application/openmetrics-text;version=1.0.0"

# how it is asked for over HTTP: in the format of Prometheus, and as Prometheus itself asks
HEADERS: Mapping[str, Mapping[str, str]] = {
    "HTTP": {},
    "HTTP, OpenMetrics, gzip": {"Accept": OPENMETRICS, "Accept-Encoding": "gzip"},
}
WRITTEN, WRITTEN_OPENMETRICS = "written", "written, OpenMetrics"  # in the exporter alone
WAYS = (WRITTEN, WRITTEN_OPENMETRICS, *HEADERS)

# what has happened since the scrape before: one of so many VMs has had a round
NEWS = {"a round of each VM": 1, "a round of every tenth VM": 10, "nothing": 0}


@dataclass(frozen=True, slots=True)
class ScrapeJob:
    """One run, with so many VMs that migrate at once."""

    repetition: int
    vms: int


@dataclass(frozen=True, slots=True)
class ScrapeSpeed:
    """Milliseconds by what is new and by way, and bytes by way.

    `first_ms` is of the first scrape of all, and `round_us` what whoever observes spends on telling of a round.
    """

    job: ScrapeJob
    series: int
    round_us: float
    first_ms: float
    ms: Mapping[str, Mapping[str, float]]
    bytes: Mapping[str, int]


def scrape_jobs(repetitions: int) -> Iterator[ScrapeJob]:
    """Each number of VMs in every repetition."""
    return (ScrapeJob(number, vms) for number in range(1, repetitions + 1) for vms in VMS)


def measure_scrapes(job: ScrapeJob) -> ScrapeSpeed:
    """Tell an exporter of VMs that have migrated once and do so again, and scrape it in every way."""
    host = _Host(job.vms, random.Random(job.vms))
    round_us = host.seconds / host.rounds * 1e6
    with serve(host.exporter, port=0) as url:
        ways: dict[str, Callable[[], bytes]] = {
            WRITTEN: lambda: host.exporter.text().encode(),
            WRITTEN_OPENMETRICS: lambda: host.exporter.text(openmetrics=True).encode(),
            **{name: partial(_fetch, url, headers) for name, headers in HEADERS.items()},
        }
        first_ms, text = _timed(ways[WRITTEN_OPENMETRICS])
        ms: dict[str, dict[str, float]] = {news: {} for news in NEWS}
        sizes = {}
        for way, scrape in ways.items():
            for news, one_of in NEWS.items():
                host.go_on(one_of)
                ms[news][way], content = _timed(scrape)
            sizes[way] = len(content)
    series = sum(not line.startswith(b"#") for line in text.splitlines())
    return ScrapeSpeed(job, series, round_us, first_ms, ms, sizes)


class _Host:
    """An exporter, and those it is told of."""

    def __init__(self, vms: int, chance: random.Random) -> None:
        self.exporter = Exporter()
        self.seconds, self.rounds = 0.0, 0
        self._chance = chance
        for number in range(vms):
            self._end(self._migrate(f"vm-{number}", f"first-{number}"))
        self._running = [self._migrate(f"vm-{number}", f"second-{number}") for number in range(vms)]

    def go_on(self, one_of: int) -> None:
        """Another round of one of so many; of none if it is 0."""
        for migration in self._running[::one_of] if one_of else []:
            self._round(migration, Kind.ITERATIVE)

    def _migrate(self, vm: str, migration_id: str) -> Migration:
        migration = Migration(vm, Level.PATCHED, migration_id, 0)
        self.exporter.started(migration)
        self._tell(migration, ModeChanged(0, 0, Mode.OFF, Mode.SKIP, "xxh3-64"))
        for number in range(ROUNDS):
            self._round(migration, Kind.ITERATIVE if number else Kind.BULK)
        return migration

    def _end(self, migration: Migration) -> None:
        self._round(migration, Kind.SWITCHOVER)
        self._tell(migration, StateChanged(0, "completed"))
        self._tell(migration, FinalReport(0, {"total-time": 6900, "downtime": self._chance.randrange(300)}))
        self.exporter.ended(migration)

    def _round(self, migration: Migration, kind: Kind) -> None:
        event = RoundEnded(0, _drawn(len(migration.rounds) + 1, kind, self._chance))
        migration.apply(event)
        began = time.perf_counter()
        self.exporter.changed(migration, event)
        self.seconds += time.perf_counter() - began
        self.rounds += 1

    def _tell(self, migration: Migration, event: Event) -> None:
        migration.apply(event)
        self.exporter.changed(migration, event)


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
        answer = connection.getresponse()
        content = answer.read()
    finally:
        connection.close()
    if answer.status != HTTPStatus.OK:
        raise LabError(f"{url} answers {answer.status} {answer.reason}")
    return content
