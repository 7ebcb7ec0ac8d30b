"""What is kept of recordings, and what goes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from fakedirty.record.retention import Limits, prune

NOW = 1_800_000_000.0
DAY = 86400.0


def recording(out: Path, name: str, days: float, kibibytes: int = 100) -> Path:
    """One that was last written so many days ago."""
    path = out / name
    (path / "pages.parquet").mkdir(parents=True)
    (path / "manifest.json").write_text("{}")
    (path / "pages.parquet" / "000000.parquet").write_bytes(os.urandom(kibibytes << 10))
    for each in (*path.rglob("*"), path):
        os.utime(each, (NOW - days * DAY,) * 2)
    return path


def names(out: Path) -> list[str]:
    return sorted(str(manifest.parent.relative_to(out)) for manifest in out.rglob("manifest.json"))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    for name, days in (("web/1", 9), ("web/2.partial", 5), ("db/1", 7), ("db/2", 1)):
        recording(tmp_path, name, days)
    return tmp_path


def test_without_limits_all_is_kept(out: Path) -> None:
    assert not Limits()
    assert prune(out, Limits(), now=NOW) == []
    assert len(names(out)) == 4


def test_what_is_old_goes_and_a_vm_with_its_last(out: Path) -> None:
    recording(out, "gone/1", 30)
    removed = prune(out, Limits(seconds=6 * DAY), now=NOW)
    assert [str(path.relative_to(out)) for path in removed] == ["gone/1", "web/1", "db/1"]
    assert names(out) == ["db/2", "web/2.partial"]
    assert not (out / "gone").exists()


def test_the_oldest_go_until_the_rest_fits(out: Path) -> None:
    removed = prune(out, Limits(size=260 << 10), now=NOW)
    assert [str(path.relative_to(out)) for path in removed] == ["web/1", "db/1"]


def test_what_is_being_written_stays(out: Path) -> None:
    prune(out, Limits(seconds=1), busy=[out / "web/2.partial"], now=NOW)
    assert names(out) == ["web/2.partial"]


def test_what_no_recorder_made_stays(out: Path) -> None:
    (out / "web" / "notes").mkdir()
    (out / "letter").write_text("mine")
    prune(out, Limits(seconds=1), now=NOW)
    assert (out / "web" / "notes").is_dir()
    assert (out / "letter").exists()


def test_a_removal_that_was_cut_off_is_ended(out: Path) -> None:
    (out / "db" / "1").rename(out / "db" / ".removed-1")
    assert prune(out, Limits(seconds=100 * DAY), now=NOW) == []
    assert not (out / "db" / ".removed-1").exists()


def test_what_cannot_be_removed_is_told_and_left(
    out: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(self: Path, target: Path) -> Path:
        raise PermissionError(1, "not yours")

    monkeypatch.setattr(Path, "rename", refuse)
    assert prune(out, Limits(seconds=1), now=NOW) == []
    assert "cannot be removed" in caplog.text
    assert len(names(out)) == 4
