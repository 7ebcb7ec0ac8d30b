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
    """A campaign that was begun. `file_text` is its file as it was then."""

    def __init__(self, directory: Path) -> None:
        if not (directory / PLAN).exists():
            raise UsageError(f"{directory} is not the directory of a campaign: it has no {PLAN}")
        self.directory = directory
        self._plan = json_object(directory / PLAN)

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
        """Begin one; UsageError where there is one already. The plan comes last: with it the campaign is there."""
        if (directory / PLAN).exists():
            Store(directory).check_unchanged(path)
            raise UsageError(f"{directory} has this campaign already: 'fakedirty campaign resume {directory}' goes on")
        with _told(directory, "begin again"):
            (directory / RUNS).mkdir(parents=True, exist_ok=True)
            with replacing(directory / FILE) as file:
                file.write(text.encode())
            content = {
                **facts,
                "file": str(path.absolute()),
                "text": text,
                "left_out": [asdict(each) for each in left_out],
                "runs": [asdict(run) for run in runs],
            }
            write_json(directory / PLAN, content)
        return cls(directory)

    @property
    def text(self) -> str:
        """The campaign file, as it was when the campaign was begun."""
        return str(self._plan["text"])

    @property
    def facts(self) -> Mapping[str, Any]:
        """What is written down beside the runs: name, seed, versions, QEMU …"""
        return {name: value for name, value in self._plan.items() if name not in ("runs", "text")}

    @property
    def runs(self) -> list[PlannedRun]:
        """All runs, in their order."""
        return [PlannedRun(**run) for run in self._plan["runs"]]

    @property
    def left_out(self) -> list[UnsupportedTreatment]:
        """Treatments that QEMU refused, and its words."""
        return [UnsupportedTreatment(**each) for each in self._plan["left_out"]]

    def check_unchanged(self, *more: Path) -> None:
        """UsageError with the difference where the file is not what it was: the copy, the original, or one of `more`.

        An original that is gone has not changed.
        """
        for path in (self.directory / FILE, Path(self._plan["file"]), *more):
            if path.exists() and (now := path.read_text(encoding="utf-8", errors="replace")) != self.text:
                names = "when the campaign was begun", str(path)
                lines = difflib.unified_diff(self.text.splitlines(), now.splitlines(), *names, lineterm="")
                raise UsageError(
                    f"{path} is not the file of the campaign in {self.directory}: put it back, or begin another "
                    "campaign in another directory",
                    *(list(lines) or ["(line ends only)"]),
                )

    def path(self, run: str) -> Path:
        """Where a run is, once it is whole."""
        return self.directory / RUNS / run

    def is_done(self, run: str) -> bool:
        """Whether it is there."""
        return (self.path(run) / RUN).exists()

    def row(self, run: str) -> Row:
        """What came of it."""
        return json_object(self.path(run) / RUN)

    @property
    def rows(self) -> list[Row]:
        """What came of the runs so far, in their order."""
        return [self.row(run.run) for run in self.runs if self.is_done(run.run)]

    def is_running(self) -> bool:
        """Whether somebody has it for himself now."""
        with self._lock() as taken:
            return not taken

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Have it for oneself; what a run left that was cut off goes."""
        with self._lock() as taken:
            if not taken:
                raise UsageError(f"the campaign in {self.directory} is running already")
            for left in (self.directory / RUNS).glob(f".*{PARTIAL}"):
                shutil.rmtree(left)
            yield

    @contextmanager
    def _lock(self) -> Iterator[bool]:
        """Whether the lock was free; it is held while the block lasts, and goes with the process."""
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
        """A directory to put a run into: in its place, whole, when the block ends; gone if it fails."""
        partial = self.directory / RUNS / f".{run}{PARTIAL}"
        with _told(self.directory, f"'fakedirty campaign resume {self.directory}'"):
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
def _told(directory: Path, then: str) -> Iterator[None]:
    """A disk that takes no more ends the campaign, with a word of what to do."""
    try:
        yield
    except OSError as error:
        raise RecordError(
            f"cannot write to {directory}: {error.strerror or error}; what was whole is kept. Make room, then {then}"
        ) from error


def write_row(directory: Path, row: Row) -> None:
    """What came of a run, into its directory."""
    write_json(directory / RUN, json.loads(json.dumps(row)))
