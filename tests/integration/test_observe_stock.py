"""The levels stock and usdt on real QEMUs without the series' help: what the kernel counts is what QEMU counts.

Debian 12's QEMU forgets pages under TCG: a bitmap sync leaves the TLB as it is, so later writes to a page
are not marked (fixed upstream in 9.0). It converges by itself, so nothing here waits for it to go on.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from fakedirty.lab.qemu import qemu_binary, stock_binary
from fakedirty.model.enums import Kind, Level
from fakedirty.model.events import FinalReport
from fakedirty.model.migration import Migration
from fakedirty.observe import doctor, observer
from fakedirty.observe.decode.pages import NOWHERE
from fakedirty.observe.decode.wire import PAGE_RECORD
from fakedirty.observe.host.target import by_pid
from migrating import CRAWL, PATIENCE_SECONDS, SLOW, WORKLOAD, Notes, capable, observed, pair, wait

Observed = tuple[Path, Level]

CASES = {
    "stock-debian": (stock_binary, Level.STOCK),
    "stock-10.0": (qemu_binary, Level.STOCK),
    "usdt-10.0": (qemu_binary, Level.USDT),
}


@pytest.fixture(params=["stock-debian", "usdt-10.0"])
def each_level(request: pytest.FixtureRequest) -> Observed:
    binary, level = CASES[request.param]
    return binary(), level


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Observed:
    binary, level = CASES[request.param]
    return binary(), level


def tracks_dirty_pages(case: Observed) -> bool:
    return case[0] != stock_binary()


def counts_agree(migration: Migration, ram: dict[str, int]) -> None:
    """To the page, and to the round."""
    assert migration.total("normal_pages") == ram["normal"]
    assert migration.total("zero_pages") == ram["duplicate"]
    assert len(migration.rounds) == ram["dirty-sync-count"]
    assert [entry.round for entry in migration.rounds] == list(range(1, len(migration.rounds) + 1))
    assert not migration.lost_events


def test_every_page_of_a_migration_is_counted(case: Observed, tmp_path: Path) -> None:
    notes = Notes()
    qemu, level = case
    with pair(qemu, tmp_path) as vm, observed(vm.source, level, [notes], pages=True):
        vm.migrate(max_bandwidth=SLOW, downtime_limit=1)
        vm.wait_for_syncs(5 if tracks_dirty_pages(case) else 2)
        ram = vm.converge()["ram"]
        wait(lambda: len(notes.over) == 1)
    [migration] = notes.over
    counts_agree(migration, ram)
    assert migration.valid, [entry.invalid_reason for entry in migration.rounds]
    assert migration.state == "completed"
    assert any(isinstance(event, FinalReport) for event in notes.events)
    assert migration.report["status"] == "completed"
    bulk, *others, last = migration.rounds
    assert (bulk.kind, last.kind) == (Kind.BULK, Kind.SWITCHOVER)
    assert {entry.kind for entry in others} == {Kind.ITERATIVE}
    assert bulk.fake_pages == 0
    # a round with that many pages has both sets whole
    full = [entry for entry in others if (entry.visited_pages or 0) >= WORKLOAD.fake + WORKLOAD.changed]
    assert full
    for entry in full:
        assert (entry.fake_pages or 0) >= WORKLOAD.fake
        assert (entry.changed_pages or 0) >= WORKLOAD.changed // 2
    for entry in migration.rounds:
        batches = [batch for batch in notes.batches if batch.round == entry.round]
        tags = np.frombuffer(b"".join(batch.records for batch in batches), PAGE_RECORD)["tag"].astype(int)
        assert np.bincount(tags & 255, minlength=2).tolist() == [entry.normal_pages, entry.zero_pages]
        classes = [entry.first_pages, entry.changed_pages, entry.fake_pages]
        assert np.bincount(tags >> 8 & 255, minlength=3).tolist() == classes
    assert {"pc.ram", "pc.bios"} <= {batch.block for batch in notes.batches}
    assert NOWHERE not in {batch.block for batch in notes.batches}


def test_cancelled_and_tried_again(each_level: Observed, tmp_path: Path) -> None:
    notes = Notes()
    qemu, level = each_level
    with pair(qemu, tmp_path) as vm, observed(vm.source, level, [notes]):
        vm.migrate(max_bandwidth=CRAWL, downtime_limit=1)
        vm.wait_for_syncs(2)
        vm.source.qmp.execute("migrate_cancel")
        wait(lambda: len(notes.over) == 1)
        vm.migrate(max_bandwidth=SLOW)
        vm.wait_for_syncs(1)
        ram = vm.converge()["ram"]
        wait(lambda: len(notes.over) == 2)
    first, second = notes.over
    assert (first.state, second.state) == ("cancelled", "completed")
    assert first.migration_id != second.migration_id
    assert first.rounds
    counts_agree(second, ram)
    assert second.valid
    assert second.rounds[0].fake_pages == 0  # records live for one migration


def test_a_guest_that_is_stopped_is_migrated_again(each_level: Observed, tmp_path: Path) -> None:
    """QEMU goes on logging dirty pages of a stopped guest, so that the second migration does not turn it on."""
    notes = Notes()
    qemu, level = each_level
    with pair(qemu, tmp_path) as vm, observed(vm.source, level, [notes], pages=True):
        vm.source.qmp.execute("stop")
        vm.migrate(max_bandwidth=CRAWL)
        wait(lambda: vm.info().get("ram", {}).get("normal", 0) > 0)
        vm.source.qmp.execute("migrate_cancel")
        wait(lambda: len(notes.over) == 1)
        first_batches = len(notes.batches)
        vm.migrate()
        ram = vm.converge()["ram"]
        wait(lambda: len(notes.over) == 2)
    first, second = notes.over
    assert [entry.kind for entry in first.rounds] == [Kind.BULK]
    assert (second.rounds[0].kind, second.rounds[-1].kind) == (Kind.BULK, Kind.SWITCHOVER)
    counts_agree(second, ram)
    assert second.valid
    for migration, batches in ((first, notes.batches[:first_batches]), (second, notes.batches[first_batches:])):
        records = sum(len(batch.records) // PAGE_RECORD.itemsize for batch in batches)
        assert records == migration.total("visited_pages")


def test_come_late(each_level: Observed, tmp_path: Path) -> None:
    notes = Notes()
    qemu, level = each_level
    with pair(qemu, tmp_path) as vm:
        vm.migrate(max_bandwidth=CRAWL, downtime_limit=1)
        vm.wait_for_syncs(1)
        with observed(vm.source, level, [notes]):
            wait(lambda: bool(notes.migrations) and len(notes.migrations[0].rounds) >= 2)
            vm.converge()
            wait(lambda: len(notes.over) == 1)
    [migration] = notes.over
    assert migration.partial
    assert not migration.valid
    assert "middle" in migration.rounds[0].invalid_reason
    assert Kind.BULK not in {entry.kind for entry in migration.rounds}


def test_killed_in_the_middle(each_level: Observed, tmp_path: Path) -> None:
    notes = Notes()
    qemu, level = each_level
    with pair(qemu, tmp_path) as vm, observed(vm.source, level, [notes]):
        vm.migrate(max_bandwidth=CRAWL, downtime_limit=1)
        wait(lambda: bool(notes.migrations) and len(notes.migrations[0].rounds) >= 1)
        vm.source.process.kill()
        wait(lambda: len(notes.over) == 1)
    [migration] = notes.over
    assert migration.state == "failed"
    assert migration.rounds[0].normal_pages


@pytest.mark.parametrize(
    ("binary", "level", "capability", "reason"),
    [
        (stock_binary, Level.STOCK, "xbzrle", "xbzrle"),
        (stock_binary, Level.STOCK, "compress", "compression"),
    ],
)
def test_no_share_where_pages_go_another_way(
    tmp_path: Path, binary: Callable[[], Path], level: Level, capability: str, reason: str
) -> None:
    notes = Notes()
    with pair(binary(), tmp_path) as vm, observed(vm.source, level, [notes]):
        capable(vm, capability)
        vm.migrate(max_bandwidth=SLOW, downtime_limit=1)
        vm.wait_for_syncs(2)
        vm.converge()
        wait(lambda: len(notes.over) == 1)
    [migration] = notes.over
    blind = [entry for entry in migration.rounds if reason in entry.invalid_reason]
    assert blind
    assert all(entry.fake_pages is None and entry.normal_pages is None for entry in blind)
    assert migration.total("fake_pages") is None


def test_usdt_classes_pages_under_xbzrle(tmp_path: Path) -> None:
    notes = Notes()
    with pair(qemu_binary(), tmp_path) as vm, observed(vm.source, Level.USDT, [notes]):
        capable(vm, "xbzrle")
        vm.migrate(max_bandwidth=SLOW, downtime_limit=1)
        vm.wait_for_syncs(4)
        info = vm.converge()
        wait(lambda: len(notes.over) == 1)
    [migration] = notes.over
    assert migration.valid
    assert migration.total("zero_pages") == info["ram"]["duplicate"]
    sent = info["ram"]["normal"] + info["xbzrle-cache"]["pages"]
    # what xbzrle finds unchanged is visited, and no counter of QEMU's: at least what was sent
    assert (migration.total("visited_pages") or 0) - info["ram"]["duplicate"] >= sent
    assert info["xbzrle-cache"]["pages"] > 0


@pytest.mark.parametrize("level", [Level.STOCK, Level.USDT])
def test_no_share_where_the_series_sends_copies(tmp_path: Path, level: Level) -> None:
    notes = Notes()
    with pair(qemu_binary(), tmp_path) as vm, observed(vm.source, level, [notes]):
        vm.migrate(max_bandwidth=SLOW, downtime_limit=1, fake_dirty_mode="observe")
        vm.wait_for_syncs(2)
        vm.converge()
        wait(lambda: len(notes.over) == 1)
    [migration] = notes.over
    with_pages = [entry for entry in migration.rounds if entry.visited_pages != 0]
    assert len(with_pages) >= 2
    assert all("level patched" in entry.invalid_reason for entry in with_pages)
    assert migration.total("fake_pages") is None


def test_doctor_says_where_it_would_attach(tmp_path: Path) -> None:
    with pair(stock_binary(), tmp_path) as vm:
        examination = doctor.examine([by_pid(vm.source.pid)])
        [report] = examination.targets
        assert report.level == "stock"
        assert "fake dirty patch series" in report.reasons["patched"]
        assert all(point.emulated for point in report.attach_points)
        assert {"qemu_put_buffer_async", "buffer_is_zero"} <= {point.symbol for point in report.attach_points}
        [held, free] = report.qmp
        assert not free.problem
        assert held.problem  # the laboratory itself is connected there
        assert examination.as_dict()["targets"][0]["pid"] == vm.source.pid


def test_downtime_is_seen_from_outside(each_level: Observed, tmp_path: Path) -> None:
    """On one clock, from the stop of the source to the run of the destination; QEMU's own figure is its source's."""
    notes = Notes()
    qemu, level = each_level
    with pair(qemu, tmp_path) as vm, observed(vm.source, level, [notes]):
        vm.destination = vm.source.name
        vm.migrate(max_bandwidth=SLOW, downtime_limit=1, autostart=True)
        vm.wait_for_syncs(2)  # a destination is looked for while the migration runs
        info = vm.converge()
        wait(lambda: len(notes.over) == 1)
    [migration] = notes.over
    assert migration.stopped_ns is not None
    assert migration.resumed_ns is not None
    assert migration.start_ns < migration.stopped_ns < migration.resumed_ns
    outside_ms = (migration.outside_downtime_ns or 0) / 1e6
    print(f"{outside_ms:.1f} ms from outside, {info['downtime']} ms as QEMU says")
    assert 0 < outside_ms < 60_000


@pytest.mark.parametrize("autostart", [True, False], ids=["at once", "a moment later"])
def test_a_destination_sees_its_half(
    each_level: Observed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autostart: bool
) -> None:
    """On another host it is all that is seen of the arrival; here both halves can be compared."""
    monkeypatch.setattr(observer, "RESUME_SECONDS", PATIENCE_SECONDS)
    sent, received = Notes(), Notes()
    qemu, level = each_level
    with pair(qemu, tmp_path) as vm, observed(vm.source, level, [sent]):
        vm.destination = vm.source.name
        destination = vm.receive(autostart=autostart)
        with observed(destination, level, [received]):
            vm.migrate(max_bandwidth=SLOW, downtime_limit=1)
            vm.wait_for_syncs(2)
            vm.converge()
            if not autostart:
                wait(lambda: destination.qmp.execute("query-status")["status"] == "paused")
                destination.qmp.execute("cont")
            wait(lambda: len(sent.over) == len(received.over) == 1)
    [source], [arrival] = sent.over, received.over
    assert arrival.incoming
    assert not source.incoming
    assert (arrival.state, arrival.rounds, arrival.valid) == ("completed", [], True)
    assert arrival.resumed_ns is not None
    assert source.resumed_ns is not None
    assert source.stopped_ns is not None
    assert source.stopped_ns < arrival.start_ns <= arrival.resumed_ns
    # each of the two observers has a probe of its own on that instruction
    assert abs(arrival.resumed_ns - source.resumed_ns) < source.resumed_ns - source.stopped_ns
    assert (arrival.start_ns == arrival.resumed_ns) == autostart


def test_a_guest_that_stays_stopped_has_no_downtime(tmp_path: Path) -> None:
    notes = Notes()
    with pair(qemu_binary(), tmp_path) as vm, observed(vm.source, Level.STOCK, [notes]):
        vm.destination = vm.source.name
        vm.migrate(max_bandwidth=SLOW, downtime_limit=1)
        vm.wait_for_syncs(2)
        vm.converge()
        wait(lambda: len(notes.over) == 1)
    [migration] = notes.over
    assert migration.stopped_ns is not None
    assert migration.outside_downtime_ns is None
