"""The final report of QEMU on a migration, with postcopy from its history of rounds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fakedirty.qmp.final_report import read
from fakedirty.qmp.monitor import Address
from qmp_server import qmp_server

POSTCOPY = {"start": 5, "pages": 70, "marked": 0}


def answers(ram: dict[str, int], history: dict[str, Any] | None) -> dict[str, Any]:
    commands = ["query-migrate", *(["query-migration-rounds"] if history is not None else [])]
    return {
        "query-migrate-capabilities": lambda _: [],
        "query-migrate": lambda _: {"status": "completed", "total-time": 9, "ram": ram},
        "query-commands": lambda _: [{"name": name} for name in commands],
        "query-migration-rounds": lambda _: history,
    }


@pytest.mark.parametrize(
    ("moved", "history", "expected"),
    [
        (4096, {"dropped": 0, "rounds": [], "postcopy": POSTCOPY}, POSTCOPY),
        (4096, {"dropped": 0, "rounds": []}, None),  # a patch series that does not report it
        (4096, None, None),  # and of a stock QEMU
        (0, {"dropped": 0, "rounds": [], "postcopy": POSTCOPY}, None),  # postcopy moved nothing
    ],
)
def test_what_was_left_to_postcopy_is_with_the_totals(
    tmp_path: Path, moved: int, history: dict[str, Any] | None, expected: dict[str, int] | None
) -> None:
    path = tmp_path / "qmp"
    with qmp_server(path, answers({"normal": 3, "postcopy-bytes": moved}, history)):
        info = read([Address(path)], "completed")
    assert info["ram"]["normal"] == 3
    assert info.get("postcopy") == expected
