"""Whether a recording is called valid, on real QEMUs: failures and retries, postcopy, multifd, ends without totals."""

from __future__ import annotations

import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from fakedirty.lab.cleanup_retry import once_cleaned_up
from fakedirty.lab.qemu import qemu_binary, stock_binary
from fakedirty.model.enums import Level
from fakedirty.model.migration import Migration
from fakedirty.model.totals import Outcome
from fakedirty.observe.host.target import by_pid
from fakedirty.observe.live import LiveTrace
from fakedirty.observe.observer import Observer
from fakedirty.qmp.rounds_command import read_history
from fakedirty.record.load import load
from fakedirty.record.recorder import Recorder
from migrating import SLOW, Notes, Pair, capable, observed, pair, running, wait

DEBIANS = Path("/usr/bin/qemu-system-x86_64")

# every level, on the QEMU that it is for
LEVELS = pytest.mark.parametrize(
    ("level", "series"),
    [
        (Level.PATCHED, True),
        (Level.QMP, True),
        (Level.STOCK, True),
        (Level.USDT, True),
        (Level.STOCK, False),
        (Level.QMP, False),
    ],
    ids=["patched", "qmp-history", "stock-series", "usdt", "stock", "qmp-polled"],
)
MODES = pytest.mark.parametrize("mode", ["off", "observe"])


def last(series: bool) -> int:
    """A round that lasts: the third of Debian's QEMU, under TCG, has no pages of this guest."""
    return 3 if series else 2


def binary(series: bool) -> Path:
    return qemu_binary() if series else stock_binary()


class Cut:
    """A way to a socket that can be cut in the middle."""

    def __init__(self, path: Path, to: Path) -> None:
        self._sockets: list[socket.socket] = []
        self.uri = f"unix:{path}"
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen(8)
        self._listener = listener
        self._to = to
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                source, _ = self._listener.accept()
                destination = socket.socket(socket.AF_UNIX)
                destination.connect(str(self._to))
                self._sockets += [source, destination]
                for one, other in ((source, destination), (destination, source)):
                    threading.Thread(target=self._pass_on, args=(one, other), daemon=True).start()

    @staticmethod
    def _pass_on(one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(1 << 16):
                other.sendall(data)

    def cut(self) -> None:
        """Both ends see the other go."""
        for each in (self._listener, *self._sockets):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


@contextmanager
def cuttable(vm: Pair) -> Iterator[Cut]:
    """A way to a fresh destination, which the next migration takes."""
    vm.receive()
    way = Cut(vm.directory / f"way-{vm.incoming}", Path(vm.uri.removeprefix("unix:")))
    vm.uri = way.uri
    try:
        yield way
    finally:
        way.cut()


def whole(migration: Migration, ram: dict[str, int]) -> None:
    assert migration.reasons == [], [each.invalid_reason for each in migration.rounds]
    assert migration.valid is True
    assert migration.totals is not None
    assert migration.totals.outcome is Outcome.EQUAL
    assert migration.totals.reported_pages == ram["normal"] + ram["duplicate"]


def outcome(migration: Migration) -> Outcome:
    assert migration.totals is not None
    return migration.totals.outcome


@LEVELS
def test_the_channel_is_cut_and_the_migration_tried_again_at_once(level: Level, series: bool, tmp_path: Path) -> None:
    notes = Notes()
    with pair(binary(series), tmp_path) as vm, observed(vm.source, level, [notes]):
        if series:
            vm.set(fake_dirty_mode="off" if level in (Level.STOCK, Level.USDT) else "observe")
        with cuttable(vm) as way:
            vm.migrate(max_bandwidth=SLOW, downtime_limit=1)
            vm.wait_for_syncs(last(series))
            vm.receive()
            again = vm.uri
            way.cut()
            wait(lambda: vm.info()["status"] == "failed")
            once_cleaned_up(lambda: vm.source.qmp.execute("migrate", uri=again))  # at once, or as soon as QEMU takes it
        vm.uri = ""
        vm.wait_for_syncs(2)
        ram = vm.converge()["ram"]
        wait(lambda: len(notes.over) == 2)
    first, second = notes.over
    assert second.rounds[0].round == 1
    assert first.rounds[0].round == 1
    assert len({each.round for each in first.rounds}) == len(first.rounds)
    assert first.valid is not True or level is Level.PATCHED
    if level is Level.QMP:
        assert second.total("normal_pages") == ram["normal"]
        if series:
            whole(second, ram)
        return
    whole(second, ram)
    assert first.state == "failed"
    assert [each.round for each in first.rounds] == list(range(1, len(first.rounds) + 1))
    assert len(first.rounds) == last(series)
    assert not first.lacks_round


@pytest.mark.parametrize("level", [Level.PATCHED, Level.QMP], ids=str)
@MODES
def test_the_last_round_of_a_failed_migration(level: Level, mode: str, tmp_path: Path) -> None:
    notes = Notes()
    with pair(qemu_binary(), tmp_path) as vm, observed(vm.source, level, [notes]), cuttable(vm) as way:
        vm.set(fake_dirty_mode=mode)
        vm.migrate(max_bandwidth=SLOW, downtime_limit=1)
        vm.wait_for_syncs(3)
        way.cut()
        wait(lambda: len(notes.over) == 1)
        counted = read_history(vm.source.qmp)["rounds"]
    [migration] = notes.over
    assert [each.round for each in migration.rounds] == [each["round"] for each in counted]
    assert migration.total("visited_pages") == sum(each["visited"] for each in counted)
    assert not migration.lacks_round
    expected = (Outcome.EQUAL, True) if mode == "observe" else (Outcome.UNCHECKED, None)
    assert (outcome(migration), migration.valid) == expected


@LEVELS
def test_postcopy_in_the_middle_of_a_round(level: Level, series: bool, tmp_path: Path) -> None:
    notes = Notes()
    with pair(binary(series), tmp_path) as vm, observed(vm.source, level, [notes]):
        capable(vm, "postcopy-ram")
        vm.migrate(max_bandwidth=SLOW, downtime_limit=1)
        vm.wait_for_syncs(last(series))
        vm.source.qmp.execute("migrate-start-postcopy")
        wait(lambda: vm.info()["status"].startswith(("postcopy", "completed")))
        vm.set(max_bandwidth=1 << 40, max_postcopy_bandwidth=0)
        wait(lambda: vm.info()["status"] == "completed")
        ram = vm.info()["ram"]
        wait(lambda: len(notes.over) == 1)
    [migration] = notes.over
    assert (outcome(migration), migration.valid) == (Outcome.PARTIAL, False)
    totals = migration.totals
    assert totals is not None
    assert "postcopy moved" in totals.reason
    assert totals.postcopy_bytes == ram["postcopy-bytes"] > 0
    assert totals.reported_pages == ram["normal"] + ram["duplicate"]
    if level is Level.QMP and not series:
        return  # which cannot tell
    before = [each for each in migration.rounds if each.normal_pages is not None]
    assert [each.round for each in before] == [1, 2, 3][: last(series)]
    assert all(each.valid for each in before)
    assert totals.postcopy_pages == totals.reported_pages - sum(
        (each.normal_pages or 0) + (each.zero_pages or 0) for each in before
    )
    assert 0 < totals.postcopy_pages * 9 <= ram["postcopy-bytes"]


@pytest.mark.parametrize("level", [Level.PATCHED, Level.QMP], ids=str)
def test_multifd(level: Level, tmp_path: Path) -> None:
    notes = Notes()
    with pair(qemu_binary(), tmp_path) as vm, observed(vm.source, level, [notes, Recorder(tmp_path / "out", "r")]):
        capable(vm, "multifd")
        vm.migrate(max_bandwidth=4 * SLOW, downtime_limit=1)
        vm.wait_for_syncs(30)
        ram = vm.converge()["ram"]
        wait(lambda: len(notes.over) == 1)
        inexact = [each["round"] for each in read_history(vm.source.qmp)["rounds"] if each.get("exact") is False]
    [migration] = notes.over
    assert ram["multifd-bytes"] > 0
    assert [each.invalid_reason for each in migration.rounds if not each.valid] == []
    whole(migration, ram)
    assert migration.total("visited_pages") == ram["normal"] + ram["duplicate"]
    for each in migration.rounds:
        late = (each.visited_pages or 0) - (each.normal_pages or 0) - (each.zero_pages or 0)
        assert bool(each.remark) == (bool(late) or each.round in inexact), each
    recorded = load(tmp_path / "out")
    assert list(recorded.migrations["totals"]) == ["equal"]
    assert recorded.migrations["conservation"].all()
    assert (recorded.rounds["remark"] != "").sum() == sum(bool(each.remark) for each in migration.rounds)


@LEVELS
def test_a_destination_that_is_killed_in_the_switchover(level: Level, series: bool, tmp_path: Path) -> None:
    notes = Notes()
    with pair(binary(series), tmp_path) as vm, observed(vm.source, level, [notes]):
        capable(vm, "pause-before-switchover")
        destination = vm.receive()
        vm.migrate(max_bandwidth=1 << 40, downtime_limit=10_000)
        wait(lambda: vm.info()["status"] == "pre-switchover")
        wait(lambda: bool(notes.migrations))  # of one that fails between two looks QEMU leaves no trace
        destination.process.kill()
        destination.process.wait()
        vm.source.qmp.execute("migrate-continue", state="pre-switchover")
        wait(lambda: len(notes.over) == 1)
    [migration] = notes.over
    assert migration.state == "failed"
    assert migration.valid is not True
    assert all(each.valid for each in migration.rounds) or level is Level.QMP


@LEVELS
def test_a_source_that_is_killed(level: Level, series: bool, tmp_path: Path) -> None:
    notes = Notes()
    with pair(binary(series), tmp_path) as vm, observed(vm.source, level, [notes]):
        vm.migrate(max_bandwidth=SLOW, downtime_limit=1)
        vm.wait_for_syncs(2)
        wait(lambda: bool(notes.migrations))
        vm.source.process.kill()
        wait(lambda: len(notes.over) == 1)
    [migration] = notes.over
    assert outcome(migration) is Outcome.UNCHECKED
    assert migration.valid is not True
    assert migration.lacks_round == (level is not Level.QMP)


@pytest.mark.parametrize(("level", "series"), [(Level.PATCHED, True), (Level.STOCK, False)], ids=["patched", "stock"])
def test_without_qmp_nothing_is_called_valid(level: Level, series: bool, tmp_path: Path) -> None:
    notes = Notes()
    with pair(binary(series), tmp_path) as vm:
        trace = LiveTrace(by_pid(vm.source.pid), level, monitor=tmp_path / "nobody")
        with running(Observer(trace, [notes])) as observer:
            vm.migrate(max_bandwidth=SLOW, downtime_limit=1)
            vm.wait_for_syncs(2)
            vm.converge()
            wait(lambda: len(notes.over) == 1)
    [migration] = notes.over
    assert all(each.valid for each in migration.rounds)
    assert (outcome(migration), migration.valid, observer.valid) == (Outcome.UNCHECKED, None, False)
    assert "no QMP monitor answered" in migration.reasons[0]


@LEVELS
def test_cancelled_in_round_1_and_again(level: Level, series: bool, tmp_path: Path) -> None:
    notes = Notes()
    with pair(binary(series), tmp_path) as vm, observed(vm.source, level, [notes]):
        vm.migrate(max_bandwidth=SLOW, downtime_limit=1)
        vm.wait_for_syncs(1)
        wait(lambda: bool(notes.migrations))
        vm.source.qmp.execute("migrate_cancel")
        wait(lambda: len(notes.over) == 1)
        vm.receive()
        vm.migrate()
        vm.wait_for_syncs(2)
        ram = vm.converge()["ram"]
        wait(lambda: len(notes.over) == 2)
    first, second = notes.over
    # polled, what was sent after the last look is not counted
    polled = level is Level.QMP and not series
    assert (first.state, first.valid, first.lacks_round) == ("cancelled", False if polled else None, False)
    if not polled:
        whole(second, ram)


@pytest.mark.skipif(not DEBIANS.exists(), reason="Debian's QEMU is not installed: apt-get install qemu-system-x86")
@pytest.mark.parametrize("capability", ["", "xbzrle"], ids=["plain", "xbzrle"])
def test_totals_of_debians_qemu(capability: str, tmp_path: Path) -> None:
    """Another release, which counts for itself: a false alarm is as bad as none."""
    assert shutil.which(str(DEBIANS))
    notes = Notes()
    with pair(DEBIANS, tmp_path) as vm, observed(vm.source, Level.STOCK, [notes]):
        if capability:
            capable(vm, capability)
        vm.migrate(max_bandwidth=SLOW, downtime_limit=1)
        vm.wait_for_syncs(4)
        ram = vm.converge()["ram"]
        wait(lambda: len(notes.over) == 1)
    [migration] = notes.over
    if capability:
        assert (outcome(migration), migration.valid) == (Outcome.UNCHECKED, False)
        assert "xbzrle" in migration.reasons[-1]
    else:
        whole(migration, ram)
