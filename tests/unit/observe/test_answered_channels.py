"""How pages are sent, by what QEMU answers: read with its limits, kept for the migration, and recorded."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import pytest
from fakedirty.model.events import LimitsRead, StateChanged
from fakedirty.model.trace import Channel, TraceRecord
from fakedirty.observe.decode.reader import LimitsReader
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
