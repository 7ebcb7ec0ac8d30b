"""The dashboards of this installation, as files and as objects for Grafana's API."""

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
    """One dashboard: the name of its file, and the JSON in that."""

    file: str
    text: str

    @property
    def content(self) -> dict[str, Any]:
        """The dashboard as an object."""
        made: dict[str, Any] = json.loads(self.text)
        return made

    @property
    def uid(self) -> str:
        """Its identifier, the same in every Grafana."""
        return str(self.content["uid"])

    @property
    def title(self) -> str:
        return str(self.content["title"])

    @property
    def mark(self) -> str:
        """Identifies our version of it in Grafana's history of versions.

        Grafana may store a dashboard in another form than it was given, so the content cannot be compared.
        """
        return f"fakedirty {__version__}, {hashlib.sha256(self.text.encode()).hexdigest()[:16]}"


def boards() -> list[Dashboard]:
    """All dashboards, by the names of their files."""
    directory = carried("dashboards", "json")
    return [Dashboard(path.name, path.read_text(encoding="utf-8")) for path in sorted(directory.glob("*.json"))]


def export(directory: Path) -> list[Path]:
    """Write the files of all dashboards into `directory`, for Grafana's provisioning; returns their paths."""
    written = []
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for board in boards():
            written.append(directory / board.file)
            written[-1].write_text(board.text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write dashboards: {error}") from error
    return written
