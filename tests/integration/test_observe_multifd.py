"""Levels stock and usdt beside multifd: every page of every channel in the round in which it was queued, or none.

On Debian 12's QEMU 7.2, which finds zero pages in the migration thread, and on our 10.0, which finds them in the
channels. `tests/long/test_observe_releases.py` has later releases as Debian ships them.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from fakedirty.errors import TargetError
from fakedirty.lab.experiment import Experiment
from fakedirty.lab.guest_load import GroundTruthLoad
from fakedirty.lab.guests.recipes import build_guest
from fakedirty.lab.guests.workload import Workload
from fakedirty.lab.migrate import Settings
from fakedirty.lab.qemu import qemu_binary, stock_binary
from fakedirty.model.enums import Level
from fakedirty.model.migration import Migration
from fakedirty.model.totals import Outcome
from fakedirty.observe import doctor
from fakedirty.observe.host.target import by_pid
from fakedirty.observe.live import LiveTrace
from fakedirty.observe.observer import Observer
from judging import judged
from migrating import SLOW, WORKLOAD, Notes, Pair, capable, check_rounds, observed, pair, running, wait

QEMUS = pytest.mark.parametrize(
    ("level", "qemu"),
    [(Level.STOCK, stock_binary), (Level.STOCK, qemu_binary), (Level.USDT, qemu_binary)],
    ids=["stock-7.2", "stock-10.0", "usdt-10.0"],
)
# QEMU before 9.0 under TCG loses writes where RAM is a multiple of 64 pages, and with them its later rounds
ODD_MEMORY = ("-m", f"{WORKLOAD.memory_mib * 1024 - 8}k")
TRUTH = Workload(fake=300, changed=200, zero=100, aba=100, untouched=300, pause_ms=5, memory_mib=64, stride=2)


def exact(migration: Migration, ram: Mapping[str, int]) -> None:
    assert migration.valid, [*migration.reasons, *(entry.invalid_reason for entry in migration.rounds)]
    assert migration.totals is not None
    assert migration.totals.outcome is Outcome.EQUAL
    assert migration.total("normal_pages") == ram["normal"]
    assert migration.total("zero_pages") == ram["duplicate"]
    assert ram["multifd-bytes"] > 0
    assert [entry.round for entry in migration.rounds] == list(range(1, ram["dirty-sync-count"] + 1))
    assert all((entry.changed_pages or 0) > 0 for entry in check_rounds(migration))


def with_channels(vm: Pair, channels: int = 3, **parameters: object) -> None:
    """Both sides; the destination takes what the source has."""
    capable(vm, "multifd")
    vm.set(multifd_channels=channels, **parameters)
    vm.receive(multifd_channels=channels, **parameters)


@QEMUS
@pytest.mark.parametrize("compression", ["none", "zlib", "zstd"])
def test_every_page_of_every_channel(level: Level, qemu: Callable[[], Path], compression: str, tmp_path: Path) -> None:
    notes = Notes()
    with pair(qemu(), tmp_path, more=ODD_MEMORY) as vm, observed(vm.source, level, [notes], pages=True):
        with_channels(vm, multifd_compression=compression)
        vm.migrate(max_bandwidth=SLOW if compression == "none" else SLOW // 16, downtime_limit=1)
        vm.wait_for_syncs(4)
        wait(lambda: bool(notes.migrations) and notes.migrations[0].channels is not None)  # QEMU has been asked
        ram = vm.converge()["ram"]
        wait(lambda: len(notes.over) == 1)
    [migration] = notes.over
    exact(migration, ram)
    assert (migration.channels, migration.compressed) == (3, compression != "none")
    assert (migration.forecast is None) == (compression != "none"), "bytes of channels are not seen"
    records = sum(len(batch.records) // 16 for batch in notes.batches)
    assert records == migration.total("visited_pages") == ram["normal"] + ram["duplicate"]
    by_round: dict[int, int] = {}
    for batch in notes.batches:
        by_round[batch.round] = by_round.get(batch.round, 0) + len(batch.records) // 16
    assert by_round == {entry.round: entry.visited_pages for entry in migration.rounds if entry.visited_pages}


LEVELS = pytest.mark.parametrize("level", [Level.STOCK, Level.USDT], ids=str)


@LEVELS
def test_zero_pages_that_the_migration_thread_finds(level: Level, tmp_path: Path) -> None:
    """They go over the main channel."""
    notes = Notes()
    with pair(qemu_binary(), tmp_path) as vm, observed(vm.source, level, [notes]):
        with_channels(vm, zero_page_detection="legacy")
        vm.migrate(max_bandwidth=SLOW, downtime_limit=1)
        vm.wait_for_syncs(4)
        ram = vm.converge()["ram"]
        wait(lambda: len(notes.over) == 1)
    exact(notes.over[0], ram)
    assert ram["duplicate"]


@LEVELS
def test_memory_that_nobody_has_touched_cannot_be_read(level: Level, tmp_path: Path) -> None:
    """Where nobody looks for zero pages, it is sent without having been touched: counted, but of no class."""
    notes = Notes()
    with pair(qemu_binary(), tmp_path) as vm, observed(vm.source, level, [notes]):
        with_channels(vm, zero_page_detection="none")
        vm.migrate(max_bandwidth=16 * SLOW, downtime_limit=1)
        vm.wait_for_syncs(4)
        ram = vm.converge()["ram"]
        wait(lambda: len(notes.over) == 1)
    [migration] = notes.over
    assert migration.valid is False
    assert "events lost" in migration.rounds[0].invalid_reason
    assert all(each.valid for each in migration.rounds[1:]), [each.invalid_reason for each in migration.rounds]
    assert (migration.total("normal_pages"), migration.total("zero_pages")) == (ram["normal"], ram["duplicate"])


@QEMUS
def test_classes_are_those_that_the_guest_knows(level: Level, qemu: Callable[[], Path], tmp_path: Path) -> None:
    experiment = Experiment(
        vm="baremetal",
        qemu=qemu(),
        load=GroundTruthLoad(build_guest("baremetal"), TRUTH),
        level=level,
        settings=Settings(10, 4_000_000, capabilities={"multifd": True}, shared={"multifd-channels": 3}),
        time_limit=5.0,
        pages=True,
        odd_memory=True,
    )
    result, recording, verdict = judged(experiment, tmp_path)
    assert verdict.right_share == 1, str(verdict)
    assert verdict.sets["untouched"].visits == TRUTH.untouched
    assert verdict.sets["zero"].visits > TRUTH.zero
    for name in ("fake", "changed"):
        assert verdict.sets[name].judged > getattr(TRUTH, name), "no visit but the first could be judged"
    assert (recording.pages["disposition"] == "zero").sum() == result.migration.total("zero_pages")


@QEMUS
def test_cancelled_and_tried_again(level: Level, qemu: Callable[[], Path], tmp_path: Path) -> None:
    """Nothing of the first is left for the second, whose channels are other threads."""
    notes = Notes()
    with pair(qemu(), tmp_path, more=ODD_MEMORY) as vm, observed(vm.source, level, [notes]):
        with_channels(vm)
        vm.migrate(max_bandwidth=SLOW, downtime_limit=1)
        vm.wait_for_syncs(3)
        vm.source.qmp.execute("migrate_cancel")
        wait(lambda: len(notes.over) == 1)
        with_channels(vm, channels=2)
        vm.migrate()
        vm.wait_for_syncs(4)
        ram = vm.converge()["ram"]
        wait(lambda: len(notes.over) == 2)
    first, second = notes.over
    assert first.state == "cancelled"
    assert first.valid is not True
    assert first.rounds[0].valid
    assert all(each.valid or "were queued for multifd" in each.invalid_reason for each in first.rounds)
    exact(second, ram)


@QEMUS
def test_an_observer_that_comes_later(level: Level, qemu: Callable[[], Path], tmp_path: Path) -> None:
    notes = Notes()
    with pair(qemu(), tmp_path, more=ODD_MEMORY) as vm:
        with_channels(vm)
        vm.migrate(max_bandwidth=SLOW, downtime_limit=1)
        vm.wait_for_syncs(2)
        with observed(vm.source, level, [notes]):
            wait(lambda: bool(notes.migrations) and len(notes.migrations[0].rounds) > 4)
            vm.converge()
            wait(lambda: len(notes.over) == 1)
    [migration] = notes.over
    assert migration.valid is False
    assert migration.totals is not None
    assert migration.totals.outcome is Outcome.PARTIAL
    assert "middle" in migration.rounds[0].invalid_reason
    later = migration.rounds[2:]  # pages that were queued before it came may be in the second one's packets
    assert all("queued" not in each.invalid_reason for each in later), [each.invalid_reason for each in later]
    assert any(each.valid and (each.fake_pages or 0) >= WORKLOAD.fake for each in later)


@QEMUS
def test_a_sample(level: Level, qemu: Callable[[], Path], tmp_path: Path) -> None:
    """Pages are counted one by one all the same."""
    notes = Notes()
    with pair(qemu(), tmp_path, more=ODD_MEMORY) as vm:
        trace = LiveTrace(by_pid(vm.source.pid), level, monitor=vm.source.observer_socket, sample=4)
        with running(Observer(trace, [notes])):
            with_channels(vm)
            vm.migrate(max_bandwidth=SLOW, downtime_limit=1)
            vm.wait_for_syncs(4)
            ram = vm.converge()["ram"]
            wait(lambda: len(notes.over) == 1)
    [migration] = notes.over
    assert migration.valid, migration.reasons
    assert migration.total("normal_pages") == ram["normal"]
    assert migration.total("zero_pages") == ram["duplicate"]


@LEVELS
def test_channels_that_write_a_file_are_not_counted(level: Level, tmp_path: Path) -> None:
    """With mapped-ram there are no packets."""
    notes = Notes()
    with pair(qemu_binary(), tmp_path) as vm, observed(vm.source, level, [notes]):
        capable(vm, "mapped-ram", "multifd")
        vm.set(max_bandwidth=SLOW)
        vm.source.qmp.execute("migrate", uri=f"file:{tmp_path}/ram")
        vm.wait_for_syncs(1)
        vm.converge()
        wait(lambda: len(notes.over) == 1)
    [migration] = notes.over
    assert migration.valid is False
    assert "were queued for multifd, and 0 seen" in migration.rounds[0].invalid_reason
    assert all(each.fake_pages is None for each in migration.rounds if each.round == 1)


def test_doctor_finds_nothing_in_the_way(tmp_path: Path) -> None:
    with pair(stock_binary(), tmp_path) as vm:
        capable(vm, "multifd")
        [report] = doctor.examine([by_pid(vm.source.pid)], qmp_path=vm.source.observer_socket).targets
        assert (report.level, report.consequences) == ("stock", {})
        assert "qio_channel_writev_full_all" in [point.symbol for point in report.attach_points]
        assert all(point.emulated for point in report.attach_points), report.attach_points


def test_a_build_without_names_is_refused(tmp_path: Path) -> None:
    """As `fakedirty qemu build --unpatched` makes it."""
    stripped = tmp_path / "qemu-system-x86_64"
    subprocess.run(["strip", "-o", stripped, qemu_binary()], check=True)
    with pair(stripped, tmp_path) as vm:
        for level in (Level.STOCK, Level.USDT):
            with pytest.raises(TargetError, match="does not export its functions"):
                LiveTrace(by_pid(vm.source.pid), level, monitor=vm.source.observer_socket).open()
