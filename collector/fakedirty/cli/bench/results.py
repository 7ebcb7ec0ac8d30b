"""Where the runs of a benchmark are kept, one a line, so that one that was interrupted goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Generic, TypeVar

from fakedirty.errors import RecordError, UsageError
from fakedirty.record.durable import write_json

RUNS, MANIFEST = "runs.jsonl", "manifest.json"


Made = TypeVar("Made")


class Results(Generic[Made]):
    """The runs of a directory, all made with the `settings` of its manifest; UsageError if those there are others.

    `made_type` and `job_type` are those of a run and of its field `job`, which names it: dataclasses.
    """

    def __init__(
        self,
        directory: Path,
        settings: dict[str, Any],
        circumstances: dict[str, Any],
        made_type: Callable[..., Made],
        job_type: type[Any],
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / MANIFEST
        if not path.exists():
            write_json(path, {**circumstances, "settings": settings})
        elif json.loads(path.read_text())["settings"] != json.loads(json.dumps(settings)):
            raise UsageError(f"{directory} has results of other settings (see its {MANIFEST}): give another --out")
        self._file = directory / RUNS
        lines = self._file.read_text().splitlines() if self._file.exists() else []
        named = {field.name for field in fields(job_type)}
        self.runs: dict[Hashable, Made] = {}
        for row in map(json.loads, lines):
            job = job_type(**{name: row.pop(name) for name in named})
            self.runs[job] = made_type(job=job, **row)

    def add(self, job: Hashable, made: Made) -> None:
        """Keep one more; RecordError where the disk takes no more."""
        try:
            with self._file.open("a") as file:
                file.write(json.dumps(row_of(made)) + "\n")
        except OSError as error:
            raise RecordError(f"cannot write {self._file}: {error.strerror or error}; make room, and go on") from error
        self.runs[job] = made


def row_of(made: Any) -> dict[str, Any]:
    """All of a run, flat, for a line of JSON."""
    columns = asdict(made)
    return {**columns.pop("job"), **columns}
