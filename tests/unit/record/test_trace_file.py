"""A recorded trace has the records that were taken, however it ends; other files are refused."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
from fakedirty.errors import RecordError, UsageError
from fakedirty.model.enums import Level
from fakedirty.model.trace import Channel, Subject, TraceRecord
from fakedirty.observe.decode.reader import reader
from fakedirty.observe.observer import Observer
from fakedirty.record.manifest import Clock
from fakedirty.record.trace_file import HEADER, Replay, TraceOrigin, TraceWriter
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

ORIGIN = TraceOrigin("run-1", Clock(1_700_000_000_000_000_000, 5), ("fakedirty", "observe"), {"qemu": {"pid": 1}})
FACTS = {"states": ["none", "setup"], "sees_xbzrle": True, "can_skip": False, "sample": 1, "blocks": []}
SUBJECT = Subject("web", Level.STOCK, "1 2", FACTS)

RECORDS = st.builds(TraceRecord, st.integers(0, 2**64 - 1), st.sampled_from(Channel), st.binary(max_size=40))


def written(path: Path, records: list[TraceRecord]) -> Path:
    path.unlink(missing_ok=True)
    with TraceWriter(path, ORIGIN) as writer:
        writer.begin(SUBJECT)
        for record in records:
            writer.take(record)
    return path


def replayed(path: Path) -> list[TraceRecord]:
    trace = Replay(path)
    records: list[TraceRecord] = []
    while not trace.exhausted:
        records += trace.poll(0)
    trace.close()
    return records


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(st.lists(RECORDS, max_size=30))
def test_the_records_taken_are_replayed(tmp_path: Path, records: list[TraceRecord]) -> None:
    path = written(tmp_path / "trace", records)
    assert replayed(path) == records
    trace = Replay(path)
    assert trace.open() == SUBJECT
    assert trace.origin == ORIGIN


def test_every_second_is_on_disk_before_the_end(tmp_path: Path) -> None:
    path = tmp_path / "trace"
    writer = TraceWriter(path, ORIGIN)
    writer.begin(SUBJECT)
    records = [TraceRecord(number * 10**9 // 2, Channel.EVENT, b"event") for number in range(4)]
    for record in records:
        writer.take(record)
    assert replayed(path) == records[:-1]
    writer.close()
    assert replayed(path) == records


def test_what_comes_before_a_cut_is_replayed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    records = [TraceRecord(number * 2 * 10**9, Channel.EVENT, bytes(1000)) for number in range(6)]
    path = written(tmp_path / "trace", records)
    whole = path.read_bytes()
    lengths = set()
    for size in range(len(whole) - 400, len(whole), 7):
        path.write_bytes(whole[:size])
        found = replayed(path)
        assert found == records[: len(found)]
        lengths.add(len(found))
    assert len(lengths) > 1
    assert "cut off" in caplog.text


def test_a_file_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "trace"
    path.write_text("precious")
    with pytest.raises(RecordError, match="File exists"):
        TraceWriter(path, ORIGIN).begin(SUBJECT)
    assert path.read_text() == "precious"


@pytest.mark.parametrize("content", [b"", b"hello\n" * 100, b"\xff\xff\xff\xff\x10\0\0\0" * 9])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "trace"
    path.write_bytes(content)
    with pytest.raises(RecordError, match="is not a trace"):
        Replay(path)
    with pytest.raises(RecordError, match="No such file"):
        Replay(tmp_path / "absent")


def test_a_trace_of_another_version_names_who_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "trace"
    header = json.dumps({"trace_version": 99, "versions": {"fakedirty": "9.9"}})
    schema = pa.schema([("time_ns", pa.uint64())], metadata={HEADER: header})
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, schema):
        pass
    with pytest.raises(RecordError, match=r"version 99.*fakedirty 9\.9"):
        Replay(path)


def test_a_missing_report_is_an_error(tmp_path: Path) -> None:
    trace = Replay(written(tmp_path / "trace", [TraceRecord(1, Channel.TICK)]))
    with pytest.raises(RecordError, match="report of QEMU is missing"):
        trace.report("completed")


def test_facts_of_another_level_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="facts"):
        reader(Subject("web", Level.PATCHED, "1 2", {"states": []}))


class FullDisk:
    """A tap that fails at its second record."""

    def __init__(self) -> None:
        self.taken = 0

    def begin(self, subject: Subject) -> None:
        """Nothing."""

    def take(self, record: TraceRecord) -> None:
        """Fail."""
        self.taken += 1
        if self.taken == 2:
            raise RecordError("disk full")


def test_observation_outlives_its_recording(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    trace = Replay(written(tmp_path / "trace", [TraceRecord(number, Channel.LOST, bytes(32)) for number in range(5)]))
    tap = FullDisk()
    observer = Observer(trace, [], tap)
    observer.attach()
    observer.run(lambda: trace.exhausted)
    assert tap.taken == 2
    assert "no longer recorded: disk full" in caplog.text


def test_numbers_of_channels_are_those_in_recorded_traces() -> None:
    names = ["EVENT", "PAGES", "LOST", "ANSWERS", "REPORT", "TICK", "GONE", "RUNSTATE", "PEER", "LIMITS"]
    assert {name: int(Channel[name]) for name in Channel.__members__} == {name: at for at, name in enumerate(names)}
