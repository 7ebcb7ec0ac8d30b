"""``python -m dashboards`` writes the JSON of every dashboard to ``dashboards/json``."""

from __future__ import annotations

from pathlib import Path

from . import ab, hosts, migration, now
from .board import rendered

#: each dashboard by the name of its file
BOARDS = {"now": now.BOARD, "migration": migration.BOARD, "ab": ab.BOARD, "hosts": hosts.BOARD}
JSON = Path(__file__).parent / "json"


def files() -> dict[str, str]:
    """The content of each JSON file, by its name."""
    return {f"{name}.json": rendered(board) for name, board in BOARDS.items()}


if __name__ == "__main__":
    for file, text in files().items():
        (JSON / file).write_text(text, encoding="utf-8")
