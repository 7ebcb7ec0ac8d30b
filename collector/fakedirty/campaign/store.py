"""The directory of a campaign: its file, its plan, and a directory for every run that is whole."""

from __future__ import annotations

import difflib
import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fakedirty.errors import RecordError, UsageError
from fakedirty.record.durable import replacing, sync_directory, write_json
from fakedirty.record.load import json_object

from .plan import PlannedRun
from .supported import UnsupportedTreatment

FILE, PLAN, RUNS, RUN, EXPERIMENT, SERVICE = (
    "campaign.toml",
    "campaign.json",
    "runs",
    "run.json",
    "experiment.json",
    "service.csv",
)
PARTIAL = ".partial"

Row = dict[str, object]


class Store:
    """A campaign that was begun. Its plan is read once, and each run once.

    Attributes:
        directory: where the campaign is kept.
        text: the campaign file, as it was when the campaign was begun.
        facts: what the plan has beside the runs: name, seed, versions, QEMU.
        runs: all runs, in their order.
        left_out: the treatments that QEMU refused, with its reasons.
    """

    def __init__(self, directory: Path, content: Mapping[str, Any]) -> None:
        self.directory = directory
        self.text = str(content["text"])
        self.facts = {name: value for name, value in content.items() if name not in ("runs", "text")}
        self.runs = [PlannedRun(**run) for run in content["runs"]]
        self.left_out = [UnsupportedTreatment(**each) for each in content["left_out"]]
        self._rows: dict[str, Row] = {}

    @classmethod
    def open(cls, directory: Path) -> Store:
        """Read the plan in a directory.

        Raises:
            UsageError: there is none.
            RecordError: it cannot be read.
        """
        if not (directory / PLAN).exists():
            raise UsageError(f"{directory} is not the directory of a campaign: it has no {PLAN}")
        return cls(directory, json_object(directory / PLAN))

    @classmethod
    def create(
        cls,
        directory: Path,
        path: Path,
        text: str,
        *,
        runs: Sequence[PlannedRun],
        left_out: Sequence[UnsupportedTreatment],
        facts: Row,
    ) -> Store:
        """Begin a campaign. Its plan is written last: once it is there, the campaign is.

        Args:
            directory: where the campaign is kept.
            path: the campaign file.
            text: its content.
            runs: all runs, in their order.
            left_out: the treatments that QEMU refuses.
            facts: what the plan has beside.

        Raises:
            UsageError: `directory` has a campaign already.
        """
        if (directory / PLAN).exists():
            cls.open(directory).check_unchanged(path)
            raise UsageError(f"{directory} has this campaign already: 'fakedirty campaign resume {directory}' goes on")
        content = {
            **facts,
            "file": str(path.absolute()),
            "text": text,
            "left_out": [asdict(each) for each in left_out],
            "runs": [asdict(run) for run in runs],
        }
        with _disk_errors(directory, "begin again"):
            (directory / RUNS).mkdir(parents=True, exist_ok=True)
            with replacing(directory / FILE) as file:
                file.write(text.encode())
            write_json(directory / PLAN, content)
        return cls(directory, content)

    def check_unchanged(self, *more: Path) -> None:
        """Check the copy of the campaign file, the original, and `more` files. A file that is gone has not changed.

        Raises:
            UsageError: one of them is not what it was; the error has the difference.
        """
        for path in (self.directory / FILE, Path(self.facts["file"]), *more):
            if path.exists() and (now := path.read_text(encoding="utf-8", errors="replace")) != self.text:
                names = "when the campaign was begun", str(path)
                lines = difflib.unified_diff(self.text.splitlines(), now.splitlines(), *names, lineterm="")
                raise UsageError(
                    f"{path} is not the file of the campaign in {self.directory}: put it back, or begin another "
                    "campaign in another directory",
                    *(list(lines) or ["(line ends only)"]),
                )

    def path(self, run: str) -> Path:
        """The directory of a run that is whole."""
        return self.directory / RUNS / run

    def is_done(self, run: str) -> bool:
        """Whether a run is whole."""
        return run in self._rows or (self.path(run) / RUN).exists()

    def row(self, run: str) -> Row:
        """The row of a run that is whole. A whole run never changes, so it is read once."""
        if run not in self._rows:
            self._rows[run] = json_object(self.path(run) / RUN)
        return self._rows[run]

    @property
    def rows(self) -> list[Row]:
        """The rows of the runs that are whole by now, in their order."""
        return [self.row(run.run) for run in self.runs if self.is_done(run.run)]

    def is_running(self) -> bool:
        """Whether a process is running this campaign."""
        with self._lock() as taken:
            return not taken

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the campaign for this process while the block runs. What a run left that was cut off is removed.

        Raises:
            UsageError: another process holds it.
        """
        with self._lock() as taken:
            if not taken:
                raise UsageError(f"the campaign in {self.directory} is running already")
            for left in (self.directory / RUNS).glob(f".*{PARTIAL}"):
                shutil.rmtree(left)
            yield

    @contextmanager
    def _lock(self) -> Iterator[bool]:
        """Whether the lock was free. It is held while the block runs, and ends with the process."""
        descriptor = os.open(self.directory / RUNS, os.O_RDONLY | os.O_DIRECTORY)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True
        finally:
            os.close(descriptor)

    @contextmanager
    def writing(self, run: str) -> Iterator[Path]:
        """The directory to write a run into. At the end of the block it is in its place, whole; after an error, gone.

        Raises:
            RecordError: the disk takes no more.
        """
        partial = self.directory / RUNS / f".{run}{PARTIAL}"
        with _disk_errors(self.directory, f"'fakedirty campaign resume {self.directory}'"):
            partial.mkdir()
            try:
                yield partial
                sync_directory(partial)
                partial.rename(self.path(run))
                sync_directory(partial.parent)
            except BaseException:
                shutil.rmtree(partial, ignore_errors=True)
                raise


@contextmanager
def _disk_errors(directory: Path, then: str) -> Iterator[None]:
    """Turn an OSError into a RecordError that says what to do."""
    try:
        yield
    except OSError as error:
        raise RecordError(
            f"cannot write to {directory}: {error.strerror or error}; what was whole is kept. Make room, then {then}"
        ) from error


def write_row(directory: Path, row: Row) -> None:
    """Write the row of a run into its directory."""
    write_json(directory / RUN, json.loads(json.dumps(row)))
