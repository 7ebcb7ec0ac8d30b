"""What is bounded: VMs that are kept, series of rounds, and what a scrape looks at, however long a migration is."""

from __future__ import annotations

import dataclasses
import gc
import http.client
import socket
import threading
import weakref
from datetime import UTC, datetime, timedelta
from typing import Any, SupportsIndex
from urllib.parse import urlsplit

import pytest
from fakedirty.export.exporter import Exporter
from fakedirty.export.host import AttachedCounts
from fakedirty.export.retained_vms import DEPARTED_VMS, KEPT, VMS_WITH_ROUNDS
from fakedirty.export.routes import metrics_routes
from fakedirty.export.tracked_migration import ROUNDS_SHOWN
from fakedirty.model.enums import Level
from fakedirty.model.events import RoundEnded
from fakedirty.model.migration import Migration
from fakedirty.model.round import Round
from fakedirty.web.server import serve
from hypothesis import given
from hypothesis import strategies as st
from made_migrations import EVENTS, START, again, bulk, made, tell, unseen

SECOND = timedelta(seconds=1)


class Hosted:
    """An exporter with a clock and a list of QEMUs that a test sets."""

    def __init__(self, vms_with_rounds: int = VMS_WITH_ROUNDS) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.attached: list[AttachedCounts] = []
        self.exporter = Exporter(lambda: self.now, lambda: self.attached, vms_with_rounds=vms_with_rounds)

    def attach(self, *vms: str) -> None:
        self.attached = [AttachedCounts(vm, number, "qmp", 0) for number, vm in enumerate(vms)]

    def values(self, name: str, label: str = "vm") -> dict[str, float]:
        """Of one metric, by one of its labels."""
        return {
            sample.labels.get(label, ""): sample.value
            for family in self.exporter.collect()
            for sample in family.samples
            if sample.name == f"fakedirty_{name}"
        }

    @property
    def vms(self) -> set[str]:
        return set(self.values("migration_active"))

    @property
    def dropped(self) -> float:
        return self.values("vms_dropped_total")[""]


def test_a_vm_that_has_gone_is_kept_for_a_while_and_then_dropped() -> None:
    host = Hosted()
    tell(made("gone"), [host.exporter])
    host.now += KEPT
    assert (host.vms, host.dropped) == ({"gone"}, 0)
    host.now += SECOND
    assert (host.vms, host.dropped) == (set(), 1)
    tell(made("gone"), [host.exporter])
    assert host.values("pages_total", "class")["fake"] == 180_000, "it comes back as if it had never been there"
    assert host.dropped == 1


def test_a_vm_that_is_observed_or_migrates_is_not_dropped() -> None:
    host = Hosted()
    host.attach("idle")
    tell(made("idle"), [host.exporter])
    tell(made("long"), [host.exporter], [RoundEnded(START, bulk())], end=False)
    host.now += 100 * KEPT
    assert (host.vms, host.dropped) == ({"idle", "long"}, 0)
    host.attach()
    assert (host.vms, host.dropped) == ({"long"}, 1)


def test_of_too_many_that_have_gone_the_oldest_are_dropped() -> None:
    host = Hosted()
    host.attach("kept-0", "kept-1")
    for number in range(DEPARTED_VMS + 3):
        host.now += SECOND
        tell(made(f"job-{number}"), [host.exporter])
        if number < 2:
            tell(made(f"kept-{number}"), [host.exporter])
    found = host.vms
    assert len(found) == DEPARTED_VMS + 2
    assert host.dropped == 3
    assert not found & {"job-0", "job-1", "job-2"}
    assert {"kept-0", "kept-1", "job-3"} <= found


def test_vms_are_dropped_also_when_nobody_scrapes() -> None:
    host = Hosted()
    for number in range(DEPARTED_VMS + 100):
        tell(made(f"job-{number}"), [host.exporter], [])
    assert len(host.exporter._vms) <= DEPARTED_VMS + 1


class Weak(Migration):
    """One to which a reference can be weak."""


def test_what_is_dropped_or_followed_is_garbage() -> None:
    host = Hosted()
    alive = []
    for vm in ("followed", "followed", "dropped"):
        migration = Weak(vm, Level.PATCHED, "m", START)
        tell(migration, [host.exporter])
        assert host.vms
        alive.append(weakref.ref(migration))
        del migration
    gc.collect()
    assert [each() is None for each in alive] == [True, False, False]
    host.now += 2 * KEPT
    assert host.vms == set()
    gc.collect()
    assert [each() for each in alive] == [None] * 3


def test_rounds_are_shown_of_the_vms_that_migrate_or_did_last() -> None:
    host = Hosted(vms_with_rounds=2)
    for name in ("first", "second", "third", "running"):
        host.now += SECOND
        tell(made(name), [host.exporter], end=name != "running")
    shown = {"third": 0.0, "running": 0.0}
    assert set(host.values("round_dirty_pages")) == shown.keys()
    assert host.values("rounds_not_shown") == {**shown, "first": 4, "second": 4}
    host.now += SECOND
    tell(made("first"), [host.exporter])
    assert set(host.values("round_dirty_pages")) == {"first", "running"}
    assert host.values("visited_pages_total")["second"] > 0, "which is counted all the same"


def test_rounds_of_twenty_vms_are_shown_unless_it_is_configured_otherwise() -> None:
    for host, shown in ((Hosted(), 20), (Hosted(0), 0), (Hosted(3), 3)):
        for number in range(25):
            tell(made(f"vm-{number}"), [host.exporter], end=number % 2 == 0)
        assert len(host.values("round_dirty_pages")) == shown
        running = {f"vm-{number}" for number in range(1, 25, 2)}
        assert host.values("round_dirty_pages").keys() <= running or shown > len(running)
        assert sum(host.values("rounds_not_shown").values()) == 4 * (25 - shown)


def test_samples_of_rounds_that_are_not_shown_are_garbage() -> None:
    """Also where nobody scrapes: VMs that migrate one after the other take no more memory for it."""
    host = Hosted()
    for number in range(30):
        host.now += SECOND
        tell(made(f"vm-{number}"), [host.exporter])
    assert sum(bool(vm._rounds) for vm in host.exporter._vms.values()) == VMS_WITH_ROUNDS


def test_the_last_rounds_are_shown_and_the_others_counted() -> None:
    host = Hosted()
    migration = made()
    host.exporter.started(migration)
    for number in range(1, 3 * ROUNDS_SHOWN):
        event = RoundEnded(START, bulk() if number == 1 else again(number, skip=True))
        migration.apply(event)
        if number % 7:
            host.exporter.changed(migration, event)
        if number % 5 == 0:
            assert len(host.values("round_left_pages", "round")) == min(number, ROUNDS_SHOWN)
    assert set(host.values("round_left_pages", "round")) == {
        str(number) for number in range(2 * ROUNDS_SHOWN, 3 * ROUNDS_SHOWN)
    }
    assert host.values("rounds_not_shown") == {"vm": 2 * ROUNDS_SHOWN - 1}
    assert host.values("transferred_bytes_total") == {"vm": sum(r.transferred_bytes or 0 for r in migration.rounds)}


class Grown(list[Round]):
    """Rounds of which it is known how many were looked at."""

    looked_at = 0

    def __getitem__(self, at: SupportsIndex | slice) -> Any:
        found = super().__getitem__(at)
        self.looked_at += len(found) if isinstance(at, slice) else 1  # type: ignore[arg-type]
        return found

    def __iter__(self) -> Any:
        raise AssertionError("all of them are looked at")


def test_a_scrape_looks_at_no_more_however_many_rounds_there_are() -> None:
    host = Hosted()
    migration = made()
    migration.rounds = grown = Grown()
    host.exporter.started(migration)
    for number in range(1, 5000):
        event = RoundEnded(START, again(number, skip=True))
        migration.apply(event)
        host.exporter.changed(migration, event)
    looked_at = []
    for number in range(5000, 5003):
        grown.looked_at = 0
        assert host.values("rounds_total", "kind") == {"iterative": number - 1}
        looked_at.append(grown.looked_at)
        migration.apply(RoundEnded(START, again(number, skip=True)))
    assert max(looked_at) < 8 * ROUNDS_SHOWN
    grown.looked_at = 0
    assert host.values("rounds_total", "kind") == {"iterative": 5002}
    first = grown.looked_at
    assert host.values("rounds_total", "kind") == {"iterative": 5002}
    assert grown.looked_at == first, "nothing has changed: nothing is looked at"


@given(st.lists(st.tuples(st.sampled_from([bulk(), unseen(), again(2, True), again(3, False)]), st.booleans())))
def test_what_is_counted_bit_by_bit_is_the_sum(rounds: list[tuple[Round, bool]]) -> None:
    host = Hosted()
    migration = made()
    host.exporter.started(migration)
    for number, (r, scraped) in enumerate(rounds):
        migration.apply(RoundEnded(START, dataclasses.replace(r, round=number, invalid_reason="x" if scraped else "")))
        if scraped:
            list(host.exporter.collect())
    values = host.values
    fakes = [r.fake_pages for r, _ in rounds if r.fake_pages is not None]
    assert values("pages_total", "class").get("fake") == (sum(fakes) if fakes else None)
    assert sum(values("rounds_total", "kind").values()) == len(rounds)
    assert values("invalid_rounds_total").get("vm", 0) == sum(scraped for _, scraped in rounds)
    assert values("migration_valid") == {"vm": migration.valid}
    assert sum(values("round_time_seconds_count", "kind").values()) == len(rounds)


OPENMETRICS = "application/openmetrics-text; version=1.0.0"


def test_many_clients_at_once_while_rounds_end(caplog: pytest.LogCaptureFixture) -> None:
    """Of 512 scrapes every seventh is left in the middle; in what each client sees no counter falls."""
    exporter = Exporter()
    over = threading.Event()
    errors: list[BaseException] = []

    def migrate() -> None:
        number = 0
        while not over.is_set():
            number += 1
            tell(made(f"vm-{number % 3}", str(number)), [exporter], [*EVENTS, *EVENTS[2:6]])

    def scrape(url: str, client: int) -> None:
        parts = urlsplit(url)
        before: dict[object, float] = {}
        headers = {"Accept": OPENMETRICS} if client % 2 else {}
        for number in range(32):
            assert parts.hostname
            if number % 7 == client % 7:
                with socket.create_connection((parts.hostname, parts.port or 0)) as link:
                    link.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
                    link.recv(10)
                continue
            connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=60)
            connection.request("GET", "/metrics", headers=headers)
            text = connection.getresponse().read().decode()
            connection.close()
            assert text.endswith("# EOF\n") == bool(client % 2)
            now = {}
            for line in text.splitlines():
                series, _, rest = line.partition("} ")
                if series.split("{")[0].endswith(("_total", "_bucket", "_count", "_sum")):
                    now[series] = float(rest.split(" # ")[0])
            assert all(now[each] >= before[each] for each in before)
            before = now

    def noting(client: int) -> None:
        try:
            scrape(url, client)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the test is to show it
            errors.append(error)

    with serve(metrics_routes(exporter), port=0) as url:
        migrating = threading.Thread(target=migrate)
        migrating.start()
        clients = [threading.Thread(target=noting, args=(client,)) for client in range(16)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        over.set()
        migrating.join()
    assert not errors
    assert not caplog.text
