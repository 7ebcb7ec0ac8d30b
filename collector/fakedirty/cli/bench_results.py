"""Where the runs of a benchmark are kept, one a line, so that one that was interrupted goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from fakedirty.errors import UsageError
from fakedirty.record.durable import write_json

RUNS, MANIFEST = "runs.jsonl", "manifest.json"


class Run(Protocol):
    """What came of a job."""

    @property
    def job(self) -> Hashable:
        """What names it."""

    def row(self) -> dict[str, Any]:
        """All of it, for a line of JSON."""


Made = TypeVar("Made", bound=Run)


class Results(Generic[Made]):
    """The runs of a directory, all made with the `settings` of its manifest; UsageError if those there are others."""

    def __init__(
        self,
        directory: Path,
        settings: dict[str, Any],
        circumstances: dict[str, Any],
        of_row: Callable[[dict[str, Any]], Made],
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / MANIFEST
        if not path.exists():
            write_json(path, {**circumstances, "settings": settings})
        elif json.loads(path.read_text())["settings"] != json.loads(json.dumps(settings)):
            raise UsageError(f"{directory} has results of other settings (see its {MANIFEST}): give another --out")
        self._file = directory / RUNS
        lines = self._file.read_text().splitlines() if self._file.exists() else []
        self.runs: dict[Hashable, Made] = {made.job: made for made in (of_row(json.loads(line)) for line in lines)}

    def add(self, made: Made) -> None:
        """Keep one more."""
        with self._file.open("a") as file:
            file.write(json.dumps(made.row()) + "\n")
        self.runs[made.job] = made
