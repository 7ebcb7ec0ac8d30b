"""Writes and reads traces: all input of an observer, which replays to the same rounds on any machine, without root.

The file is a compressed Arrow stream of ``time_ns, channel, data``. The metadata of its schema has all else, under
:data:`HEADER`. The records that were written before a crash can be read.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa

from fakedirty.errors import RecordError
from fakedirty.linux.wall_clock import ClockError
from fakedirty.model.enums import Level
from fakedirty.model.trace import Channel, Subject, TraceRecord

from .manifest import Clock, versions

TRACE_VERSION = 1  # increased when the data of a channel change their form
HEADER = b"fakedirty"
_FIELDS: dict[str, pa.DataType] = {"time_ns": pa.uint64(), "channel": pa.uint8(), "data": pa.binary()}
_SCHEMA = pa.schema(_FIELDS)
_BLOCK_BYTES = 1 << 20
_BLOCK_NS = 1_000_000_000  # the time whose records a crash may lose

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TraceOrigin:
    """The origin of a trace, for the manifests of the recordings that are made from it."""

    run_id: str
    clock: Clock
    command_line: Sequence[str] = ()
    facts: Mapping[str, object] = field(default_factory=dict)


class TraceWriter:
    """Writes all records of an observation to a file. Every method may raise RecordError."""

    def __init__(self, path: Path, origin: TraceOrigin) -> None:
        self._path = path
        self._origin = origin
        self._file: Any = None
        self._stream: Any = None
        self._schema = _SCHEMA
        self._waiting: list[TraceRecord] = []
        self._bytes = 0
        self.failure: RecordError | None = None  # the first error of writing: the trace is incomplete

    def begin(self, subject: Subject) -> None:
        """Create the file; an existing one is not overwritten."""
        header = json.dumps(_header(self._origin, subject), default=str)
        self._schema = _SCHEMA.with_metadata({HEADER: header.encode()})
        try:
            self._file = self._path.open("xb")
            options = pa.ipc.IpcWriteOptions(compression="zstd")
            self._stream = pa.ipc.new_stream(self._file, self._schema, options=options)
        except OSError as error:
            raise self._failed(error) from error

    def take(self, record: TraceRecord) -> None:
        """Add a record."""
        self._waiting.append(record)
        self._bytes += len(record.data)
        if self._bytes >= _BLOCK_BYTES or record.time_ns - self._waiting[0].time_ns >= _BLOCK_NS:
            self._flush()

    def close(self) -> None:
        """Write the last records and the end of the stream. May be called twice."""
        if self._stream is None:
            return
        try:
            if self.failure is None:
                self._flush()
                self._stream.close()
            self._file.close()
        except OSError as error:
            if self.failure is None:  # an earlier error has been reported
                raise self._failed(error) from error
        finally:
            self._stream = None

    def _flush(self) -> None:
        if not self._waiting:
            return
        columns: list[pa.Array[Any]] = [
            pa.array([record.time_ns for record in self._waiting], pa.uint64()),
            pa.array([int(record.channel) for record in self._waiting], pa.uint8()),
            pa.array([record.data for record in self._waiting], pa.binary()),
        ]
        self._waiting, self._bytes = [], 0
        try:
            self._stream.write_batch(pa.record_batch(columns, schema=self._schema))
            self._file.flush()
        except OSError as error:
            raise self._failed(error) from error

    def _failed(self, error: OSError) -> RecordError:
        self.failure = RecordError(f"cannot write the trace {self._path}: {error.strerror or error}")
        return self.failure

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


class Replay:
    """A recorded trace as a source of records; RecordError where the file is not a trace.

    `exhausted` is true once all records were read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.exhausted = False
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise RecordError(f"cannot read {path}: {error.strerror or error}") from error
        try:
            self._stream = pa.ipc.open_stream(self._file)
            header = json.loads((self._stream.schema.metadata or {})[HEADER])
            if header["trace_version"] != TRACE_VERSION:
                raise RecordError(
                    f"{path} is a trace of version {header['trace_version']}, this reads version {TRACE_VERSION}: "
                    f"replay it with fakedirty {header['versions']['fakedirty']}"
                )
            self.origin, self._subject = _origin(header), _subject(header)
        except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
            self._file.close()
            raise RecordError(f"{path} is not a trace that `fakedirty observe --record` wrote") from error
        self._records = self._read()

    def open(self) -> Subject:
        """The QEMU that was observed."""
        return self._subject

    def poll(self, timeout: float) -> Sequence[TraceRecord]:
        """The next record; after the last one `exhausted` is set."""
        record = next(self._records, None)
        self.exhausted = record is None
        return [] if record is None else [record]

    def listen(self, ready: Callable[[], None]) -> bool:
        """False: there is nothing to wait for, a trace is read as fast as it is polled."""
        return False

    def report(self, state: str) -> TraceRecord:
        """The report that QEMU gave when the trace was recorded."""
        record = next(self._records, None)
        if record is None or record.channel is not Channel.REPORT:
            raise RecordError(f"{self._path}: a report of QEMU is missing, the trace is cut off or not of this version")
        return record

    def look_up_limits(self) -> None:
        """Do nothing: the answers of QEMU are among the records."""

    def look_up_arrival(self) -> None:
        """Do nothing, for the same reason; older traces have no answer."""

    def close(self) -> None:
        self._file.close()

    def _read(self) -> Iterator[TraceRecord]:
        try:
            for batch in self._stream:
                columns = (column.to_pylist() for column in batch.columns)
                for time_ns, channel, data in zip(*columns, strict=True):
                    yield TraceRecord(time_ns, Channel(channel), data)
        except (pa.ArrowException, OSError, ValueError) as error:
            _log.warning("%s is cut off; the records before that are replayed: %s", self._path, error)


def _header(origin: TraceOrigin, subject: Subject) -> dict[str, object]:
    return {
        "trace_version": TRACE_VERSION,
        "run_id": origin.run_id,
        "clock": asdict(origin.clock),
        "command_line": list(origin.command_line),
        "versions": versions(),
        "facts": dict(origin.facts),
        "subject": {
            "vm": subject.vm,
            "level": str(subject.level),
            "identity": subject.identity,
            "facts": dict(subject.facts),
            "uuid": subject.uuid,
        },
    }


def _origin(header: Mapping[str, Any]) -> TraceOrigin:
    read: Mapping[str, Any] = header["clock"]  # older traces have no error in it, and no boot
    error = ClockError(**read["error"]) if read.get("error") else None
    clock = Clock(int(read["wall_ns"]), int(read["monotonic_ns"]), error, read.get("boot_id"))
    return TraceOrigin(str(header["run_id"]), clock, tuple(header["command_line"]), dict(header["facts"]))


def _subject(header: Mapping[str, Any]) -> Subject:
    subject = header["subject"]
    level = Level(Level.parse(subject["level"]))
    uuid = str(subject.get("uuid", ""))  # older traces have none
    return Subject(str(subject["vm"]), level, str(subject["identity"]), dict(subject["facts"]), uuid)
