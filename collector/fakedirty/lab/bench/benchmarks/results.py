"""The stored results of a benchmark, one run on each line, so that an interrupted benchmark can be continued."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Generic, TypeVar

from fakedirty.errors import RecordError, UsageError
from fakedirty.record.durable import write_json

RUNS, MANIFEST = "runs.jsonl", "manifest.json"


Run = TypeVar("Run")


class Results(Generic[Run]):
    """The runs that are stored in a directory, by job. All were measured with the settings in its manifest."""

    def __init__(
        self,
        directory: Path,
        settings: dict[str, Any],
        facts: dict[str, Any],
        run_type: Callable[..., Run],
        job_type: type[Any],
    ) -> None:
        """Read the runs of a directory, which is created if it does not exist.

        Args:
            directory: of the results.
            settings: of the benchmark; those of stored results must be equal.
            facts: what else a new manifest has.
            run_type: the dataclass of a run.
            job_type: the dataclass of its field ``job``, whose fields stand beside the others on a line.

        Raises:
            UsageError: the stored results have other settings.
        """
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / MANIFEST
        if not path.exists():
            write_json(path, {**facts, "settings": settings})
        elif json.loads(path.read_text())["settings"] != json.loads(json.dumps(settings)):
            raise UsageError(f"{directory} has results of other settings (see its {MANIFEST}): give another --out")
        self._file = directory / RUNS
        lines = self._file.read_text().splitlines() if self._file.exists() else []
        job_fields = {field.name for field in fields(job_type)}
        self.runs: dict[Hashable, Run] = {}
        for row in map(json.loads, lines):
            # rows of earlier versions have fewer fields
            job = job_type(**{name: row.pop(name) for name in job_fields if name in row})
            self.runs[job] = run_type(job=job, **row)

    def add(self, job: Hashable, run: Run) -> None:
        """Store one more run; RecordError if the disk is full."""
        try:
            with self._file.open("a") as file:
                file.write(json.dumps(run_row(run)) + "\n")
        except OSError as error:
            raise RecordError(f"cannot write {self._file}: {error.strerror or error}; make room, and go on") from error
        self.runs[job] = run


def run_row(run: Any) -> dict[str, Any]:
    """The fields of a run and of its job, for a line of JSON."""
    columns = asdict(run)
    return {**columns.pop("job"), **columns}
