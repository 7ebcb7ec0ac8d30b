"""VMs that share a name, or whose names read alike: none spoils what is said of another, wherever it is said."""

from __future__ import annotations

import csv
import json
import os
import random
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fakedirty.export.exporter import Exporter
from fakedirty.export.host import AttachedCounts
from fakedirty.grafana.annotations import Annotation, Annotator
from fakedirty.model.enums import Level
from fakedirty.model.events import Event, GuestArrived, StateChanged
from fakedirty.model.migration import Migration
from fakedirty.model.trace import Channel, TraceRecord
from fakedirty.model.vm_names import encodable, visible
from fakedirty.observe.decode.reader import RunStateReader
from fakedirty.observe.decode.wire import RunStateEvent
from fakedirty.observe.host.select import named
from fakedirty.observe.host.target import Target, by_pid, find_all
from fakedirty.record.load import load
from fakedirty.record.manifest import Clock
from fakedirty.record.recorder import Recorder
from fakedirty.service.watched_vms import WatchedVms
from fakedirty.show.watch import Watched, told_apart
from fakedirty.web.ui.documents import overview
from fakedirty.web.ui.live_migrations import LiveMigrations
from fakedirty.web.ui.recorded import Recorded
from hypothesis import given
from hypothesis import strategies as st
from made_migrations import EVENTS, SECOND, START, made, tell

CLOCK = Clock(1_700_000_000 * SECOND, START)
PAGES = {"first": 132_613, "changed": 15_000, "fake": 180_000}  # of EVENTS
WHOLE = EVENTS[:-1]


def of(pid: int, name: str = "twin", uuid: str = "", migration_id: str = "") -> Migration:
    """One of a QEMU with that process id."""
    return replace(made(name, migration_id or f"m{pid}"), process=f"{pid} {pid * 10}", uuid=uuid)


def attached(pid: int, name: str = "twin", uuid: str = "") -> AttachedCounts:
    return AttachedCounts(name, pid, "patched", 7, "10.0.2", f"{pid} {pid * 10}", uuid)


class Scraped:
    """An exporter, and the QEMUs that are observed."""

    def __init__(self) -> None:
        self.here: list[AttachedCounts] = []
        self.exporter = Exporter(lambda: datetime(2026, 1, 1, tzinfo=UTC), lambda: self.here)

    def join(self, *processes: AttachedCounts) -> None:
        for each in processes:
            self.here = [*self.here, each]
            self.exporter.look()

    def leave(self, process: AttachedCounts) -> None:
        self.here = [each for each in self.here if each != process]

    def values(self, name: str, **labels: str) -> dict[str, float]:
        """By VM."""
        return {
            sample.labels["vm"]: sample.value
            for family in self.exporter.collect()
            for sample in family.samples
            if sample.name == f"fakedirty_{name}" and labels.items() <= sample.labels.items()
        }


def overlapping(sink: Exporter, *migrations: Migration, events: Iterable[Event] = WHOLE) -> None:
    """Each takes an event in turn."""
    for migration in migrations:
        sink.started(migration)
    for event in events:
        for migration in migrations:
            migration.apply(event)
            sink.changed(migration, event)
    for migration in migrations:
        sink.ended(migration)


@pytest.mark.parametrize("observed", [True, False])
@pytest.mark.parametrize("uuids", [("", ""), ("one", "other"), ("copied", "copied"), ("one", "")])
def test_two_overlapping_migrations_of_one_name(uuids: tuple[str, str], observed: bool) -> None:
    host = Scraped()
    if observed:
        host.join(attached(7, uuid=uuids[0]), attached(8, uuid=uuids[1]))
    overlapping(host.exporter, of(7, uuid=uuids[0]), of(8, uuid=uuids[1]))
    twins = {"twin", "twin (pid 8)"}
    for word, pages in PAGES.items():
        assert host.values("pages_total", **{"class": word}) == dict.fromkeys(twins, pages)
    assert host.values("migrations_total", outcome="completed") == dict.fromkeys(twins, 1)
    assert host.values("migrations_total", outcome="unfinished") == {}
    assert host.values("rounds_total", kind="bulk") == dict.fromkeys(twins, 1)
    assert host.values("round_time_seconds_count", kind="iterative") == dict.fromkeys(twins, 2)
    if observed and len(set(uuids)) == 2:
        assert set(host.values("qemu_info")) == twins


@pytest.mark.parametrize("seed", range(4))
def test_what_each_counts_is_in_its_recording(seed: int, tmp_path: Path) -> None:
    """Many that come, migrate, overlap and go, under three names: the metrics are the sums of the CSVs."""
    chance, host = random.Random(seed), Scraped()
    names = ("twin", "twin (pid 3)", "b\\xff")
    running: list[tuple[Migration, list[Event]]] = []
    labels: dict[str, str] = {}
    before: dict[str, float] = {}
    recorder = Recorder(tmp_path, "run", clock=lambda: CLOCK)
    pids = iter(range(1, 10**6))
    while len(labels) < 20 or running:
        if len(labels) < 20 and chance.random() < 0.3:
            process = attached(next(pids), chance.choice(names), chance.choice(["", "", "one", "other"]))
            if chance.random() < 0.7:
                host.join(process)
            migration = of(process.pid, process.vm, process.uuid)
            for sink in (recorder, host.exporter):
                sink.started(migration)
            labels[migration.migration_id] = host.exporter.label(migration)
            running.append((migration, list(WHOLE[: chance.randint(2, len(WHOLE))])))
        elif running:
            migration, events = running[number := chance.randrange(len(running))]
            if events:
                migration.apply(event := events.pop(0))
                for sink in (recorder, host.exporter):
                    sink.changed(migration, event)
            else:
                for sink in (recorder, host.exporter):
                    sink.ended(migration)
                del running[number]
                host.here = [each for each in host.here if each.identity != migration.process or chance.random() < 0.5]
        now = host.values("visited_pages_total")
        assert all(now[vm] >= value for vm, value in before.items()), "a counter has jumped"
        before = now
    counted: dict[str, float] = {}
    for directory in recorder.directories:
        [migration_id] = load(directory).migrations["migration_id"]
        with (directory / "rounds.csv").open() as file:
            pages = sum(int(row["visited_pages"] or 0) for row in csv.DictReader(file))
        counted[labels[migration_id]] = counted.get(labels[migration_id], 0) + pages
    assert before == {vm: pages for vm, pages in counted.items() if pages}


def test_a_label_stays_as_it_is_whoever_comes_and_goes() -> None:
    host = Scraped()
    first, second = attached(7), attached(8)
    host.join(first)
    tell(of(7), [host.exporter], WHOLE)
    host.join(second)
    tell(of(8), [host.exporter], WHOLE)
    tell(of(7, migration_id="again"), [host.exporter], WHOLE)
    assert host.values("visited_pages_total") == {"twin": 2 * 327_613, "twin (pid 8)": 327_613}
    host.leave(first)
    tell(of(8, migration_id="again"), [host.exporter], WHOLE)
    assert host.values("visited_pages_total") == {"twin": 2 * 327_613, "twin (pid 8)": 2 * 327_613}
    assert host.values("qemu_info") == {"twin (pid 8)": 1}


def test_a_guest_that_comes_back_goes_on() -> None:
    """It migrates away and its process ends; it returns in another, and leaves again."""
    for uuid in ("", "its own"):
        host = Scraped()
        for pid in (7, 8, 9):
            host.join(process := attached(pid, uuid=uuid))
            tell(of(pid, uuid=uuid), [host.exporter], WHOLE)
            host.leave(process)
        assert host.values("migrations_total", outcome="completed") == {"twin": 3}


def test_a_guest_that_goes_back_and_forth_on_one_host_goes_on() -> None:
    """Its source is still there when its destination migrates it back: the UUID says that it is one guest."""
    host = Scraped()
    host.join(attached(7, uuid="its own"), attached(8, uuid="its own"))
    for pid in (7, 8):
        tell(of(pid, uuid="its own"), [host.exporter], WHOLE)
    assert host.values("migrations_total", outcome="completed") == {"twin": 2}


def test_a_copy_with_the_same_uuid_is_another_guest() -> None:
    """A migration that failed left the guest where it was: what migrates elsewhere is not that guest."""
    host = Scraped()
    host.join(attached(7, uuid="copied"), attached(8, uuid="copied"))
    tell(of(7, uuid="copied"), [host.exporter], [*WHOLE[:3], StateChanged(START, "failed")])
    tell(of(8, uuid="copied"), [host.exporter], WHOLE)
    assert set(host.values("migration_active")) == {"twin", "twin (pid 8)"}


def test_a_process_id_that_is_used_again_is_another_process() -> None:
    host = Scraped()
    host.join(attached(6), attached(7))
    tell(of(7), [host.exporter], WHOLE)
    host.here = [attached(6), replace(attached(7), identity="7 99")]
    host.exporter.look()
    tell(of(6), [host.exporter], WHOLE)
    again = replace(of(7), process="7 99")
    tell(again, [host.exporter], WHOLE)
    assert sum(host.values("migrations_total", outcome="completed").values()) == 3


def test_a_name_made_distinct_may_be_the_name_of_another() -> None:
    host = Scraped()
    overlapping(host.exporter, of(7), of(9, "twin (pid 8)"), of(8))
    assert set(host.values("migration_active")) == {"twin", "twin (pid 8)", "twin (process 8 80)"}


def test_annotations_have_the_label_of_the_series() -> None:
    host = Scraped()
    posted: list[Annotation] = []
    annotator = Annotator(posted.append, lambda: 0, host.exporter.label)
    for pid in (7, 8):
        host.join(attached(pid))
        tell(of(pid), [host.exporter, annotator], WHOLE)
    assert {each.tags[1] for each in posted} == {f"vm:{vm}" for vm in host.values("migration_active")}


def test_the_page_tells_them_apart(tmp_path: Path) -> None:
    live, recorder = LiveMigrations(lambda: CLOCK), Recorder(tmp_path, "run", clock=lambda: CLOCK)
    for pid in (7, 8):
        tell(of(pid), [live], WHOLE[:4], end=False)
    tell(of(9), [recorder], WHOLE)
    tell(of(5, "other"), [recorder], WHOLE)
    found = overview("here", live.all(), Recorded(tmp_path).listing(), [attached(7), attached(8), attached(5, "other")])
    assert sorted(entry["vm"] for entry in found["migrations"]) == [
        "other",
        "twin (pid 7)",
        "twin (pid 8)",
        "twin (pid 9)",
    ]
    assert found["attached"] == ["other", "twin (pid 7)", "twin (pid 8)"]
    assert not {"guest", "pid"} & found["migrations"][0].keys()


def seen(pid: int, uuid: str = "", **more: object) -> Watched:
    return Watched("twin", pid, "patched", state="active", start_ticks=pid * 10, uuid=uuid, **more)  # type: ignore[arg-type]


def test_watch_keeps_a_twin_that_has_gone_and_lets_a_guest_move() -> None:
    memory = WatchedVms(lambda: 0.0)
    memory.look([seen(7), seen(8)])
    assert {each.pid: each.gone for each in memory.look([seen(8)])} == {7: True, 8: False}
    memory = WatchedVms(lambda: 0.0)
    memory.look([seen(7, "one"), seen(8, "one")])
    assert [each.pid for each in memory.look([seen(8, "one")])] == [8], "its guest is in the other"
    memory = WatchedVms(lambda: 0.0)
    memory.look([seen(7), seen(8)])
    assert [each.pid for each in memory.look([seen(8, arrived=True)])] == [8]
    memory = WatchedVms(lambda: 0.0)
    memory.look([seen(7)])
    again = replace(seen(7), start_ticks=99, uuid="another")
    assert [each.start_ticks for each in memory.look([again])] == [99, 70], "a process id that is used again"
    assert told_apart([seen(7), seen(8)]) == {(7, 70): "twin (pid 7)", (8, 80): "twin (pid 8)"}


@given(st.binary(max_size=12), st.binary(max_size=12))
def test_no_two_names_are_shown_alike(one: bytes, other: bytes) -> None:
    shown = [visible(each.decode(errors="surrogateescape")) for each in (one, other)]
    for text in shown:
        text.encode()
    assert (shown[0] == shown[1]) is (one == other)


@pytest.mark.parametrize(
    ("raw", "shown"),
    [(b"web", "web"), (b"m\xc3\xbc", "mü"), (b"a\\b", "a\\b"), (b"a\xff", "a\\xff"), (b"a\\xff", "a\\\\xff"),
     (b"a\\\xff", "a\\\\\\xff"), (b"a\\\\b", "a\\\\\\\\b")],
)  # fmt: skip
def test_names_are_shown(raw: bytes, shown: str) -> None:
    assert visible(raw.decode(errors="surrogateescape")) == shown
    assert encodable(shown) == shown


def process(proc: Path, pid: int, name: bytes, *words: bytes) -> None:
    """One of /proc."""
    directory = proc / str(pid)
    directory.mkdir(parents=True)
    line = [b"/usr/bin/qemu-system-x86_64", b"-name", name, *words]
    (directory / "cmdline").write_bytes(b"".join(word + b"\0" for word in line))
    fields = b" ".join([b"S", *[b"0"] * 18, b"%d" % (pid * 10), *[b"0"] * 20])
    (directory / "stat").write_bytes(b"%d (%s) " % (pid, name[:15]) + fields)
    os.symlink("/usr/bin/qemu-system-x86_64", directory / "exe")


def test_names_of_any_bytes_are_found_and_chosen(tmp_path: Path) -> None:
    process(tmp_path, 7, b"tw\xfen")
    process(tmp_path, 8, b"tw\xffn", b"-uuid", b"AB12")
    process(tmp_path, 9, b"tw\\xffn")
    targets = find_all(tmp_path)
    assert [target.vm for target in targets] == ["tw\\xfen", "tw\\xffn", "tw\\\\xffn"]
    assert [target.uuid for target in targets] == ["", "ab12", ""]
    assert by_pid(8, tmp_path).start_ticks == 80

    def pid_of(name: str) -> int:
        return named(name, targets).pid

    assert pid_of("tw\\xffn") == pid_of("tw\udcffn") == 8
    assert pid_of("tw\\xfen") == 7
    assert pid_of("tw\\\\xffn") == 9
    assert isinstance(targets[0], Target)


def test_names_of_any_bytes_are_apart_in_metrics_and_recordings(tmp_path: Path) -> None:
    """Also where they come as Python has them, and not as a target's: from a trace of an older version."""
    host, recorder = Scraped(), Recorder(tmp_path, "run", clock=lambda: CLOCK)
    migrations = [of(7, "tw\udcfen"), of(8, "tw\udcffn"), of(9, "tw\\xffn")]
    overlapping(host.exporter, *migrations)
    for migration in (of(7, "tw\udcfen"), of(8, "tw\udcffn"), of(9, "tw\\\\xffn")):
        tell(migration, [recorder], WHOLE)
    assert host.values("visited_pages_total") == dict.fromkeys(("tw\\xfen", "tw\\xffn", "tw\\xffn (pid 9)"), 327_613)
    assert len({directory.parent for directory in recorder.directories}) == 3
    recording = load(tmp_path)
    assert set(recording.migrations["vm"]) == set(recording.rounds["vm"]) == {"tw\\xfen", "tw\\xffn", "tw\\\\xffn"}


def test_a_level_is_no_part_of_it() -> None:
    """Observed at one level, and by another collector at another: it is one process."""
    host = Scraped()
    tell(of(7), [host.exporter], WHOLE)
    tell(replace(of(7, migration_id="again"), level=Level.STOCK), [host.exporter], WHOLE)
    assert host.values("migrations_total", outcome="completed") == {"twin": 2}


STATES = ["running", "inmigrate", "finish-migrate"]


def peer(pid: int, vm: str, uuid: str, role: str) -> TraceRecord:
    data = {"pid": pid, "vm": vm, "uuid": uuid, "role": role, "waiting": False, "states": STATES}
    return TraceRecord(0, Channel.PEER, json.dumps(data).encode())


@pytest.mark.parametrize(
    ("uuids", "arrived"),
    [(("one", "one"), True), (("one", "other"), False), (("", ""), True), (("one", ""), True), (("", "one"), True)],
)
def test_a_namesake_that_waits_is_no_destination_of_another_guest(uuids: tuple[str, str], arrived: bool) -> None:
    class Nothing:
        def take(self, record: TraceRecord) -> Iterable[object]:
            return ()

    reader = RunStateReader(Nothing())  # type: ignore[arg-type]
    for each in (peer(1, "twin", uuids[0], "source"), peer(2, "twin", uuids[1], "destination")):
        list(reader.take(each))
    record = TraceRecord(5, Channel.RUNSTATE, bytes(RunStateEvent(pid=2, state=0)))
    assert list(reader.take(record)) == ([GuestArrived(5, running=True)] if arrived else [])
