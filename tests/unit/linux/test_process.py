"""A process as /proc shows it: links of its own root, its guest's UUID, and the moment at which it ends."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from fakedirty.linux.process import Process

FIRST, SECOND = "7a0f7f71-496e-4142-a1e5-ba5bd800390c", "11111111-2222-3333-4444-555555555555"


@pytest.fixture
def process(tmp_path: Path) -> Process:
    (tmp_path / "9").mkdir()
    return Process(9, 4711, tmp_path)


def test_one_that_has_ended_has_nothing(process: Process) -> None:
    assert not process.runs
    assert process.sockets() == {}
    assert process.threads() == set()


def test_one_that_ends_while_its_descriptors_are_listed_has_none(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ended(_directory: Path) -> list[str]:
        raise ProcessLookupError

    monkeypatch.setattr(os, "listdir", ended)
    assert process.sockets() == {}


def test_where_its_descriptors_may_not_be_read_nothing_is_known(process: Process) -> None:
    (process.directory / "fd").touch()
    assert process.sockets() is None


@pytest.mark.parametrize("stat", ["", "9 (qemu) S 1 1", "9 (qemu) S" + " x" * 40])
def test_what_cannot_be_read_as_its_state_does_not_run(stat: str, process: Process) -> None:
    (process.directory / "stat").write_text(stat)
    assert process.runs is False


def test_it_runs_while_its_start_is_the_same(process: Process) -> None:
    (process.directory / "stat").write_text("9 (a) b) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 4711 0 0")
    assert process.runs is True
    assert Process(9, 4712, process.proc).runs is False


def test_two_dots_leave_one_directory(process: Process) -> None:
    assert process.resolve("/a/b/../c") == process.directory / "root/a/c"


def test_as_many_links_are_followed_as_the_kernel_follows(process: Process) -> None:
    root = process.directory / "root"
    root.mkdir()
    for number in range(1, 41):
        (root / f"{number}").symlink_to(f"{number + 1}")
    (root / "0").symlink_to("1")
    assert process.resolve("/1") == root / "41", "40 links"
    assert process.resolve("/0") == root / "40", "41 links, of which the last is not followed"


@pytest.mark.parametrize(
    ("words", "uuid"),
    [
        (["-uuid", FIRST], FIRST),
        (["--uuid", FIRST.upper()], FIRST),
        (["-smbios", f"type=1,uuid={FIRST}"], FIRST),
        (["--smbios", f"type=1,uuid={FIRST.upper()}"], FIRST),
        (["-uuid", FIRST, "--uuid", SECOND], SECOND),
        (["-uuid", FIRST, "-smbios", f"type=1,uuid={SECOND}"], SECOND),
        (["-append", "uuid", FIRST, "-", FIRST], None),
        (["-smbios", f"type=2,uuid={FIRST}"], None),
        ([], None),
    ],
)
def test_the_uuid_of_its_guest(words: list[str], uuid: str | None, process: Process) -> None:
    (process.directory / "cmdline").write_bytes(b"".join(word.encode() + b"\0" for word in ("qemu", *words)))
    assert process.uuid == uuid
