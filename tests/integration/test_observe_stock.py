"""The stock level on real QEMUs without the series' help: what the kernel counts is what QEMU counts.

Debian 12's QEMU forgets pages under TCG: a bitmap sync leaves the TLB as it is, so later writes to a page
are not marked (fixed upstream in 9.0). It converges by itself, so nothing here waits for it to go on.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from fakedirty.lab.qemu import qemu_binary, stock_binary
from fakedirty.model.events import FinalReport
from fakedirty.model.migration import Migration
from fakedirty.model.words import Kind, Level
from fakedirty.observe import doctor
from fakedirty.observe.target import by_pid
from migrating import CRAWL, SLOW, WORKLOAD, Notes, observed, pair, wait

QEMUS = {"debian": stock_binary, "10.0": qemu_binary}
TRACKS_DIRTY_PAGES = {"10.0"}


@pytest.fixture(params=QEMUS)
def qemu(request: pytest.FixtureRequest) -> Path:
    return QEMUS[request.param]()


def counts_agree(migration: Migration, ram: dict[str, int]) -> None:
    """To the page, and to the round."""
    assert migration.total("normal_pages") == ram["normal"]
    assert migration.total("zero_pages") == ram["duplicate"]
    assert len(migration.rounds) == ram["dirty-sync-count"]
    assert [entry.round for entry in migration.rounds] == list(range(1, len(migration.rounds) + 1))
    assert not migration.lost_events


@pytest.mark.parametrize("name", QEMUS)
def test_every_page_of_a_migration_is_counted(name: str, tmp_path: Path) -> None:
    notes = Notes()
    with pair(QEMUS[name](), tmp_path) as vm, observed(vm.source, Level.STOCK, [notes]):
        vm.migrate(max_bandwidth=SLOW, downtime_limit=1)
        vm.wait_for_syncs(5 if name in TRACKS_DIRTY_PAGES else 2)
        ram = vm.converge()["ram"]
        wait(lambda: len(notes.over) == 1)
    [migration] = notes.over
    counts_agree(migration, ram)
    assert migration.valid, [entry.invalid_reason for entry in migration.rounds]
    assert migration.state == "completed"
    assert isinstance(notes.events[-1], FinalReport)
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


def test_cancelled_and_tried_again(qemu: Path, tmp_path: Path) -> None:
    notes = Notes()
    with pair(qemu, tmp_path) as vm, observed(vm.source, Level.STOCK, [notes]):
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


def test_come_late(qemu: Path, tmp_path: Path) -> None:
    notes = Notes()
    with pair(qemu, tmp_path) as vm:
        vm.migrate(max_bandwidth=CRAWL, downtime_limit=1)
        vm.wait_for_syncs(1)
        with observed(vm.source, Level.STOCK, [notes]):
            wait(lambda: bool(notes.migrations) and len(notes.migrations[0].rounds) >= 2)
            vm.converge()
            wait(lambda: len(notes.over) == 1)
    [migration] = notes.over
    assert migration.partial
    assert not migration.valid
    assert "middle" in migration.rounds[0].invalid_reason
    assert Kind.BULK not in {entry.kind for entry in migration.rounds}


def test_killed_in_the_middle(qemu: Path, tmp_path: Path) -> None:
    notes = Notes()
    with pair(qemu, tmp_path) as vm, observed(vm.source, Level.STOCK, [notes]):
        vm.migrate(max_bandwidth=CRAWL, downtime_limit=1)
        wait(lambda: bool(notes.migrations) and len(notes.migrations[0].rounds) >= 1)
        vm.source.process.kill()
        wait(lambda: len(notes.over) == 1)
    [migration] = notes.over
    assert migration.state == "failed"
    assert migration.rounds[0].normal_pages


@pytest.mark.parametrize(("capability", "reason"), [("multifd", "multifd"), ("xbzrle", "xbzrle")])
def test_no_share_where_pages_go_another_way(tmp_path: Path, capability: str, reason: str) -> None:
    notes = Notes()
    with pair(stock_binary(), tmp_path) as vm, observed(vm.source, Level.STOCK, [notes]):
        wanted = [{"capability": capability, "state": True}]
        vm.source.qmp.execute("migrate-set-capabilities", capabilities=wanted)
        vm.migrate(max_bandwidth=SLOW, downtime_limit=1)
        vm.wait_for_syncs(2)
        vm.converge()
        wait(lambda: len(notes.over) == 1)
    [migration] = notes.over
    blind = [entry for entry in migration.rounds if reason in entry.invalid_reason]
    assert blind
    assert all(entry.fake_pages is None and entry.normal_pages is None for entry in blind)
    assert migration.total("fake_pages") is None


def test_doctor_says_where_it_would_attach(tmp_path: Path) -> None:
    with pair(stock_binary(), tmp_path) as vm:
        examination = doctor.examine([by_pid(vm.source.pid)])
        [report] = examination.targets
        assert report.level == "stock"
        assert "fake dirty series" in report.reasons["patched"]
        assert all(point.emulated for point in report.attach_points)
        assert {"qemu_put_buffer_async", "buffer_is_zero"} <= {point.symbol for point in report.attach_points}
        [held, free] = report.qmp
        assert not free.problem
        assert held.problem  # the laboratory itself is connected there
        assert examination.as_dict()["targets"][0]["pid"] == vm.source.pid
