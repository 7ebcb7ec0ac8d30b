"""XBZRLE's own skipping and the fake pages of the series, on one migration: the difference is explained to the page.

A fake page is not `unchanged` for two reasons alone: it is all zero, and sent as such; or the cache has no copy of
it. The cache is played again from the records of the pages in the order of their visits, and what comes of it is held
against the counters and the trace event that QEMU has for XBZRLE without the series.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from fakedirty.lab.migrate import PATIENCE_MS, Settings, Step, migrate
from fakedirty.lab.observation import observed
from fakedirty.model.enums import Disposition, Kind, Level, Mode, PageClass
from fakedirty.observe.decode import wire
from fakedirty.qmp.client import Qmp
from migrating import Notes
from series import SLOW, TIGHT_MS, WORKLOAD, assert_equal, pair, rounds, setting

RAM_BYTES = WORKLOAD.memory_mib << 20
SKIPPING = "save_xbzrle_page_skipping"  # a trace event of QEMU's own
LIFETIME = 2  # generations: CACHED_PAGE_LIFETIME of migration/page_cache.c
LEAST_SECONDS = 3.0
TIME_LIMIT = 60.0


@dataclass(frozen=True)
class Visit:
    """A visited page: where it is in the order of the scan, its page number in all RAM, and what became of it."""

    position: tuple[int, int]
    page: int
    round: int
    hash: int
    page_class: PageClass
    disposition: Disposition


@dataclass
class Cache:
    """QEMU's cache of sent pages: one slot for all pages of one number modulo `slots`, not given up while fresh."""

    slots: int
    held: dict[int, tuple[int, int]] = field(default_factory=dict)  # slot: page, and generation of its last use

    def has(self, page: int, generation: int) -> bool:
        """Whether a copy is there; asking is a use of it."""
        found = self.held.get(page % self.slots, (-1, 0))[0] == page
        if found:
            self.held[page % self.slots] = page, generation
        return found

    def put(self, page: int, generation: int) -> None:
        """Keep a copy, unless the slot has a fresh one of another page."""
        holder, used = self.held.get(page % self.slots, (page, generation))
        if holder == page or used + LIFETIME <= generation:
            self.held[page % self.slots] = page, generation


@dataclass
class Played:
    """What is predicted: how often each thing happens, fake pages without a copy by page, and what went otherwise."""

    counts: Counter[str] = field(default_factory=Counter)
    uncached_fakes: Counter[int] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


def play(visits: Iterable[Visit], switchover: int, cache: Cache) -> Played:
    """Predict what XBZRLE makes of each visit; the generation of its cache is the number of the round.

    XBZRLE starts when the scan of the dirty bitmap has come to its end for the first time. Zero pages do not get
    there, but into the cache. With the VM stopped no other page does.
    """
    played = Played()
    started, last = False, (-1, -1)
    for visit in visits:
        started, last = started or visit.position <= last, visit.position
        zero, fake = visit.disposition is Disposition.ZERO, visit.page_class is PageClass.FAKE
        cached = started and not zero and cache.has(visit.page, visit.round)
        if visit.disposition not in _possible(zero=zero, fake=fake, cached=cached):
            played.wrong.append(f"{visit}, which is {'' if cached else 'not '}in the cache")
        happened = {
            "fake": fake,
            "fake, zero": fake and zero,
            "fake, not cached": fake and not zero and not cached,
            "unchanged": visit.disposition is Disposition.UNCHANGED,
            "hit": cached,
            "miss": started and not zero and not cached,
            "overflow": cached and visit.disposition is Disposition.NORMAL,
        }
        played.counts.update(happened)
        played.uncached_fakes[visit.page] += happened["fake, not cached"]
        if started and not cached and (zero or visit.round < switchover):
            cache.put(visit.page, visit.round)
    return played


def _possible(*, zero: bool, fake: bool, cached: bool) -> tuple[Disposition, ...]:
    if zero or not cached:
        return (Disposition.ZERO if zero else Disposition.NORMAL,)
    return (Disposition.UNCHANGED,) if fake else (Disposition.XBZRLE, Disposition.NORMAL)


def visits_of(qmp: Qmp, notes: Notes) -> Iterator[Visit]:
    """Every visit of a migration, in order."""
    listed = qmp.execute("human-monitor-command", {"command-line": "info ramblock"}).splitlines()[1:]
    blocks = {line.split()[0]: (index, int(line.split()[3], 16) >> 12) for index, line in enumerate(listed)}
    for batch in notes.batches:
        index, first = blocks[batch.block]
        records = np.frombuffer(batch.records, wire.PAGE_RECORD)
        for digest, tag in zip(records["hash"].tolist(), records["tag"].tolist(), strict=True):
            page, kinds = tag >> 16, (PageClass(tag >> 8 & 0xFF), Disposition(tag & 0xFF))
            yield Visit((index, page), first + page, batch.round, digest, *kinds)


def has_fake_zeros(notes: Notes) -> bool:
    """Whether a zero page was fake: it was not zero for a while, which rounds need some luck not to see."""
    batches = [np.frombuffer(batch.records, wire.PAGE_RECORD)["tag"] & 0xFFFF for batch in list(notes.batches)]
    return any((tags == PageClass.FAKE << 8 | Disposition.ZERO).any() for tags in batches)


def until(ready: Callable[[], bool]) -> Step:
    """The step that lets a migration end after LEAST_SECONDS, and not before there is what a test is about."""
    return Step(setting({"downtime-limit": PATIENCE_MS}), after_seconds=LEAST_SECONDS, ready=ready)


def xbzrle_settings(mode: Mode, cache_bytes: int) -> Settings:
    return Settings(
        TIGHT_MS,
        SLOW,
        parameters={"fake-dirty-mode": str(mode), "fake-dirty-switchover": False, "xbzrle-cache-size": cache_bytes},
        capabilities={"xbzrle": True},
    )


@pytest.mark.parametrize("cache_bytes", [RAM_BYTES, RAM_BYTES // 16])
def test_every_fake_page_is_unchanged_or_zero_or_not_cached(cache_bytes: int, tmp_path: Path) -> None:
    notes, log = Notes(), tmp_path / "trace.log"
    with (
        pair() as (source, destination),
        observed(source.pid, Level.PATCHED, [notes], pages=True) as observer,
    ):
        source.qmp.execute("human-monitor-command", {"command-line": f"logfile {log}"})
        source.qmp.execute("trace-event-set-state", name=SKIPPING, enable=True)
        settings = xbzrle_settings(Mode.OBSERVE, cache_bytes)
        steps = [until(lambda: has_fake_zeros(notes))]
        outcome = migrate(source, destination, settings, time_limit=TIME_LIMIT, steps=steps)
        assert outcome.status == "completed"
        assert observer.migration().valid
        assert_equal(source, destination)
        history = rounds(source.qmp)
        visits = list(visits_of(source.qmp, notes))
        skipping = log.read_text().count(SKIPPING)
    assert history[-1]["kind"] == str(Kind.SWITCHOVER)
    assert len(visits) == sum(each["visited"] for each in history)
    zeros = {visit.hash for visit in visits if visit.disposition is Disposition.ZERO}
    assert len(zeros) == 1, "all zero pages have one hash"
    assert not any(visit.hash in zeros for visit in visits if visit.disposition is not Disposition.ZERO)

    played = play(visits, history[-1]["round"], Cache(cache_bytes // 4096))
    counts, peer = played.counts, outcome.final["xbzrle-cache"]
    assert played.wrong == []
    assert (counts["hit"], counts["miss"]) == (peer["pages"], peer["cache-miss"])
    assert counts["overflow"] == peer["overflow"]
    assert skipping == counts["unchanged"] == sum(each["unchanged"] for each in history)
    assert counts["fake"] == sum(each["fake"] for each in history)
    assert counts["fake"] == skipping + counts["fake, zero"] + counts["fake, not cached"]

    assert skipping > 1000
    assert counts["fake, zero"] > 0
    if cache_bytes >= RAM_BYTES:
        assert max(played.uncached_fakes.values()) == 1, "a page that was seen since XBZRLE started stays in its cache"
    else:
        assert max(played.uncached_fakes.values()) > 1, "pages take each other's place in a small cache"


def test_skipping_leaves_nothing_for_xbzrle_to_skip() -> None:
    with pair() as (source, destination):
        outcome = migrate(source, destination, xbzrle_settings(Mode.SKIP, 2 * RAM_BYTES), time_limit=LEAST_SECONDS)
        assert outcome.status == "completed"
        assert_equal(source, destination)
        history = rounds(source.qmp)
    assert sum(each["skipped"] for each in history) > 1000
    assert sum(each["xbzrle"] for each in history) > 100
    assert all(each["unchanged"] == 0 and each["skipped"] == each["fake"] for each in history)
