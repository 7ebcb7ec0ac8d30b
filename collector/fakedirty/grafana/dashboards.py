"""The dashboards that this installation carries, as files and as what Grafana is given."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fakedirty import __version__
from fakedirty.errors import UsageError
from fakedirty.package_files import carried


@dataclass(frozen=True, slots=True)
class Dashboard:
    """One dashboard: the file it is in, and what that says."""

    file: str
    text: str

    @property
    def content(self) -> dict[str, Any]:
        """As Grafana takes it."""
        made: dict[str, Any] = json.loads(self.text)
        return made

    @property
    def uid(self) -> str:
        """What it is known by in every Grafana."""
        return str(self.content["uid"])

    @property
    def title(self) -> str:
        """What it is called."""
        return str(self.content["title"])

    @property
    def mark(self) -> str:
        """Says in Grafana's history of versions which one of ours it is.

        Grafana may keep a dashboard in another form than it was given: this is how it is known again.
        """
        return f"fakedirty {__version__}, {hashlib.sha256(self.text.encode()).hexdigest()[:16]}"


def boards() -> list[Dashboard]:
    """All of them, by the names of their files."""
    directory = carried("dashboards", "json")
    return [Dashboard(path.name, path.read_text(encoding="utf-8")) for path in sorted(directory.glob("*.json"))]


def export(directory: Path) -> list[Path]:
    """Write all of them into `directory`, as they are provisioned to Grafana."""
    written = []
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for board in boards():
            written.append(directory / board.file)
            written[-1].write_text(board.text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write dashboards: {error}") from error
    return written
