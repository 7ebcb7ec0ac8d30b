"""How pages are sent, by what QEMU answers: read with its limits, kept for the migration, and recorded."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import pytest
from fakedirty.model.events import LimitsRead, StateChanged
from fakedirty.model.trace import Channel, TraceRecord
from fakedirty.observe.decode.reader import LimitsReader
from fakedirty.observe.decode.vcpu_rates import COMMAND, vcpu_rates
from fakedirty.observe.live import read_limits
from fakedirty.qmp.monitor import Address, connect
from fakedirty.record.load import load
from fakedirty.record.manifest import Clock
from fakedirty.record.recorder import Recorder
from fakedirty.record.restore import restore
from made_migrations import EVENTS, SECOND, START, made
from qmp_server import qmp_server

ZSTD = {"multifd-channels": 4, "multifd-compression": "zstd"}
CLOCK = Clock(1_700_000_000 * SECOND, START)


@pytest.mark.parametrize(
    ("answer", "channels", "compressed"),
    [
        ({"multifd": False} | ZSTD, 1, False),
        ({"multifd": True} | ZSTD, 4, True),
        ({"multifd": True, "multifd-channels": 2, "multifd-compression": "none"}, 2, False),
        ({"multifd": True, "multifd-channels": 1, "multifd-compression": "zlib"}, 1, True),
        ({"multifd": True, "multifd-channels": 0, "multifd-compression": "zlib"}, None, True),
        ({"multifd": True}, None, None),
        (ZSTD, None, None),  # a trace of before: whether multifd was on is not known
        ({"multifd": "yes", "multifd-channels": "4"}, None, None),
    ],
    ids=["not on", "zstd", "as they are", "one", "none of them", "no parameters", "unknown", "not as QEMU answers"],
)
def test_what_qemu_says_of_its_channels(
    answer: dict[str, object], channels: int | None, compressed: bool | None
) -> None:
    class Nothing:
        def take(self, record: TraceRecord) -> Iterable[object]:
            return ()

    record = TraceRecord(1, Channel.LIMITS, json.dumps({"downtime-limit": 40} | answer).encode())
    [told] = LimitsReader(Nothing()).take(record)  # type: ignore[arg-type]
    assert told == LimitsRead(1, 40, None, channels, compressed)


@pytest.mark.parametrize(("rate", "read"), [(0, None), (1, 1), (125_000_000, 125_000_000)])
def test_a_rate_of_nothing_is_none(rate: int, read: int | None) -> None:
    """QEMU's default is 0: it uses the rate that it has measured."""

    class Nothing:
        def take(self, record: TraceRecord) -> Iterable[object]:
            return ()

    answer = {"downtime-limit": 40, "avail-switchover-bandwidth": rate}
    record = TraceRecord(1, Channel.LIMITS, json.dumps(answer).encode())
    assert list(LimitsReader(Nothing()).take(record)) == [LimitsRead(1, 40, read, None, None)]  # type: ignore[arg-type]


@pytest.mark.parametrize("on", [True, False])
def test_qemu_is_asked_for_both(on: bool, tmp_path: Path) -> None:
    answers = {
        "query-migrate-parameters": lambda _: {"downtime-limit": 40, "max-bandwidth": 1} | ZSTD,
        "query-migrate-capabilities": lambda _: [{"capability": "multifd", "state": on}],
    }
    with qmp_server(tmp_path / "qmp", answers), connect(Address(tmp_path / "qmp")) as qmp:
        assert read_limits(qmp) == {"downtime-limit": 40, "multifd": on} | ZSTD


@pytest.mark.parametrize("on", [True, False])
def test_rates_of_vcpus_are_read_only_where_qemu_measures_them(on: bool, tmp_path: Path) -> None:
    """With dirty-limit QEMU measures them anyway; in whole MiB a second."""
    sent: list[str] = []
    rates = [
        {"cpu-index": 0, "limit-rate": 10, "current-rate": 12},
        {"cpu-index": 3, "limit-rate": 10, "current-rate": 0},
    ]

    def measured(_: dict[str, object]) -> object:
        sent.append(COMMAND)
        return rates

    answers = {
        "query-migrate-parameters": lambda _: {"downtime-limit": 40},
        "query-migrate-capabilities": lambda _: [{"capability": "dirty-limit", "state": on}],
        COMMAND: measured,
    }
    with qmp_server(tmp_path / "qmp", answers), connect(Address(tmp_path / "qmp")) as qmp:
        read = read_limits(qmp)
    assert sent == ([COMMAND] if on else [])
    assert vcpu_rates(json.loads(json.dumps(read))) == ({0: 12_582_912, 3: 0} if on else None)


@pytest.mark.parametrize("answer", [{}, {COMMAND: []}, {COMMAND: None}], ids=["not on", "not yet", "not a list"])
def test_what_qemu_does_not_measure_is_not_known(answer: dict[str, object]) -> None:
    assert vcpu_rates(answer) is None


def test_a_migration_has_the_latest_rates_of_vcpus() -> None:
    migration = made()
    migration.apply(LimitsRead(START, 300, vcpu_rates={0: 5}))
    assert migration.vcpu_rates == {0: 5}
    migration.apply(LimitsRead(START + 1, 300))
    assert migration.vcpu_rates is None


def test_a_migration_has_the_channels_that_it_began_with() -> None:
    """QEMU reads them at the start: what is set later is for the next migration."""
    migration = made()
    for channels, compressed in ((None, None), (2, True), (8, False)):
        migration.apply(LimitsRead(START, 300, None, channels, compressed))
    assert (migration.channels, migration.compressed) == (2, True)
    assert (migration.limits.channels, migration.limits.compressed) == (2, True)


@pytest.mark.parametrize(("channels", "compressed"), [(4, True), (1, False), (None, None)])
def test_they_are_recorded(channels: int | None, compressed: bool | None, tmp_path: Path) -> None:
    migration, recorder = made(), Recorder(tmp_path, "run", clock=lambda: CLOCK)
    recorder.started(migration)
    for event in (*EVENTS[:4], LimitsRead(START, 300, None, channels, compressed)):
        migration.apply(event)
        recorder.changed(migration, event)
    migration.apply(StateChanged(START + 60 * SECOND, "cancelled"))
    recorder.ended(migration)
    [directory] = recorder.directories
    again = restore(directory)
    assert (again.channels, again.compressed) == (channels, compressed)
    frame = load(directory).migrations
    assert (frame["channels"].isna()[0], frame["compressed"].isna()[0]) == (channels is None, compressed is None)
    summary = json.loads((directory / "migration.json").read_text())
    for name in ("channels", "compressed"):  # as it was before they were recorded
        del summary[name]
    (directory / "migration.json").write_text(json.dumps(summary))
    assert restore(directory).channels is None
    assert load(directory).migrations["compressed"].isna().all()
