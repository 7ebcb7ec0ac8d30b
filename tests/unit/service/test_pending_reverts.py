"""What a service that is killed leaves to the next one."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from fakedirty.model.enums import Mode
from fakedirty.service.pending_reverts import PendingRevert, read, write

TIMED = PendingRevert(4711, 99, (Mode.OFF, "xxh3-64"), (Mode.SKIP, "sha1"), 12.5)
HELD = PendingRevert(4712, 100, (Mode.OBSERVE, "xxh3-64"), (Mode.SKIP, "xxh3-64"), None)
UNNAMED = PendingRevert(4713, 101, (Mode.OFF, None), (Mode.SKIP, None), None)  # of a QEMU that has one hash


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "reverts"
    assert read(path) == []
    write(path, [TIMED, HELD, UNNAMED])
    assert read(path) == [TIMED, HELD, UNNAMED]
    write(path, [])
    assert not path.exists()
    write(path, [])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"promises": [{}]}',
        '{"promises": [{"pid": 1, "start_ticks": 2, "before": ["on", ""]}]}',
        "\xff",
    ],
)
def test_what_cannot_be_read_is_logged_and_ignored(text: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "reverts"
    path.write_text(text, encoding="latin-1")
    with caplog.at_level(logging.WARNING):
        assert read(path) == []
    assert str(path) in caplog.text


def test_what_others_can_write_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path, link = tmp_path / "reverts", tmp_path / "link"
    write(path, [TIMED])
    link.symlink_to(path)
    with caplog.at_level(logging.WARNING):
        assert read(link) == []
        path.chmod(0o666)
        assert read(path) == []
    assert "can write it" in caplog.text


def test_a_disk_that_fails_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        write(tmp_path / "none" / "promises", [TIMED])
    assert "puts no mode back" in caplog.text
