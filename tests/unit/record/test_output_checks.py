"""A place that cannot be written is refused before work begins, by every option that names one."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from command_leaves import LEAVES
from fakedirty.cli.main import main
from fakedirty.errors import RecordError, UsageError
from fakedirty.record.output_checks import check_directory, check_file
from fakedirty.record.trace_file import Replay, TraceWriter
from fakedirty.service.config import parse
from fakedirty.service.maintenance import Maintenance
from fakedirty.service.options import ConfigurationSource
from fakedirty.service.outputs import Outputs
from fakedirty.service.sd_notify import ServiceManager

TRACES = Path(__file__).parents[1] / "traces"
ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: for mounts, and for rights to give up")

#: each option and argument that names a place to write, and the rest of its command
DIRECTORIES = {
    ("observe", "--out"): ["--pid", "1"],
    ("replay", "--out"): [str(TRACES / "patched.trace")],
    ("demo", "--out"): ["--qemu", "/nonexistent"],
    ("bench", "--out"): ["hash", "--qemu", "/nonexistent"],
    ("campaign run", "--out"): ["/nonexistent.toml"],
    ("campaign export", "--to"): ["/nonexistent"],
    ("dashboards export", "directory"): [],
    ("runs join", "--out"): ["/nonexistent"],
}
FILES = {
    ("observe", "--record"): ["--pid", "1"],
    ("runs export", "file"): ["/nonexistent"],
    ("pages", "--picture"): ["/nonexistent"],
    ("what-if", "--out"): ["/nonexistent"],
    ("watch", "--svg"): ["--control", "/nonexistent"],
}
#: written, too: beside a socket that is made, and below a campaign that was begun
OTHERWISE = {("observe", "--control"), ("campaign resume", "directory"), ("campaign report", "directory")}
#: paths that are read, or request something
READ = {
    *((leaf, "--qmp") for leaf in ("doctor", "observe", "mode")),
    *((leaf, "--control") for leaf in ("status", "watch", "mode")),
    *((leaf, "--qemu") for leaf in ("demo", "fuzz", "bench", "campaign run")),
    *((leaf, "path") for leaf in ("pages", "what-if", "runs list", "runs export")),
    *((leaf, "--in") for leaf in ("runs show", "runs compare")),
    ("runs join", "paths"),
    *(("observe", f"--{name}") for name in ("config", "web-config")),
    ("replay", "trace"),
    ("config check", "file"),
    ("bench", "--unpatched"),
    *((leaf, "directory") for leaf in ("campaign status", "campaign export")),
    ("campaign run", "file"),
    *(("dashboards push", f"--{name}") for name in ("token-file", "ca")),
}


def test_every_path_is_known_as_one_to_write_or_to_read() -> None:
    found = {
        (leaf, each.option_strings[0] if each.option_strings else each.dest)
        for leaf, (_, parser) in LEAVES.items()
        for each in parser._actions
        if each.type is Path or (leaf, each.dest) == ("runs export", "file")
    }
    assert found == {*DIRECTORIES, *FILES, *OTHERWISE, *READ}


def _file(path: Path) -> Path:
    (path / "file").write_text("")
    return path / "file"


def _dangling(path: Path) -> Path:
    (path / "link").symlink_to(path / "nowhere")
    return path / "link"


NO_DIRECTORY: dict[str, Callable[[Path], Path]] = {
    "a file": _file,
    "below a file": lambda path: _file(path) / "runs",
    "a link to nowhere": _dangling,
    "below a link to nowhere": lambda path: _dangling(path) / "runs",
    "where nothing is made": lambda path: Path("/proc/fakedirty/runs"),
    "too long": lambda path: path / ("x" * 300),
}
NO_FILE: dict[str, Callable[[Path], Path]] = {
    "a directory": lambda path: path,
    "below a file": lambda path: _file(path) / "x",
    "in no directory": lambda path: path / "nowhere" / "x",
    "a link to nowhere": _dangling,
    "where nothing is made": lambda path: Path("/proc/fakedirty"),
    "too long": lambda path: path / ("x" * 300),
}


@pytest.mark.parametrize("which", DIRECTORIES, ids=" ".join)
@pytest.mark.parametrize("kind", NO_DIRECTORY)
def test_directories_are_refused(
    which: tuple[str, str], kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused(which, DIRECTORIES[which], NO_DIRECTORY[kind](tmp_path), capsys)


@pytest.mark.parametrize("which", [each for each in FILES if each[0] != "watch"], ids=" ".join)  # it needs a terminal
@pytest.mark.parametrize("kind", NO_FILE)
def test_files_are_refused(
    which: tuple[str, str], kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = NO_FILE[kind](tmp_path)
    if which[0] in ("runs export", "pages") and kind != "a directory":
        path = path.with_name(path.name + ".csv") if kind != "a link to nowhere" else path.rename(tmp_path / "link.csv")
    elif which[0] == "runs export":
        path = path / "x.csv"
        path.mkdir()
    refused(which, FILES[which], path, capsys)


def refused(which: tuple[str, str], rest: list[str], path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    leaf, option = which
    option = option if option.startswith("--") else ""
    assert main([*leaf.split(), *rest, *filter(None, [option]), str(path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("fakedirty: ")
    assert str(path)[:100] in error
    assert "name another" in error
    assert error.count("\n") == 1


@contextmanager
def mounted(path: Path, options: str) -> Iterator[Path]:
    disk = path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "small", str(disk)], check=True)
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@ROOT
@pytest.mark.parametrize("which", [*DIRECTORIES, *(each for each in FILES if each[0] != "watch")], ids=" ".join)
def test_what_is_mounted_for_reading_or_full_is_refused(
    which: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rest = {**DIRECTORIES, **FILES}[which]
    with mounted(tmp_path, "ro") as disk:
        refused(which, rest, disk / "x.csv", capsys)
    (tmp_path / "disk").rmdir()
    with mounted(tmp_path, "size=8k") as disk:
        (disk / "much").write_bytes(bytes(8192))
        refused(which, rest, disk / "x.csv", capsys)
        assert [each.name for each in disk.iterdir()] == ["much"]


@ROOT
@pytest.mark.parametrize("which", [*DIRECTORIES, *(each for each in FILES if each[0] != "watch")], ids=" ".join)
def test_a_user_without_the_right_is_refused(which: tuple[str, str], tmp_path: Path) -> None:
    """Root without capabilities has the rights of files, as any user has."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o755)
    os.chown(closed, 65534, 65534)
    leaf, option = which
    place = [option] if option.startswith("--") else []
    for mode in (0o755, 0o700):
        closed.chmod(mode)
        command = [*leaf.split(), *{**DIRECTORIES, **FILES}[which], *place, str(closed / "x.csv")]
        fewer = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--", sys.executable, "-m", "fakedirty.cli.main"]
        done = subprocess.run([*fewer, *command], check=False, capture_output=True, text=True)
        assert done.returncode == 2, done.stderr
        assert "Permission denied" in done.stderr
        assert "make it writable" in done.stderr
        assert done.stderr.count("\n") == 1


def test_what_can_be_written_is_taken_and_nothing_is_left(tmp_path: Path) -> None:
    check_directory(tmp_path / "new" / "and below", "--out")
    check_directory(tmp_path, "--out")
    check_file(tmp_path / "new.svg", "--svg")
    check_file(Path("/dev/null"), "--svg")
    assert list(tmp_path.iterdir()) == []
    there = tmp_path / "there"
    there.write_text("x")
    check_file(there, "--svg")
    assert there.read_text() == "x"
    with pytest.raises(UsageError, match="exists: name another"):
        check_file(there, "--record", replaced=False)
    with pytest.raises(UsageError, match="null"):
        check_directory(Path("a\0b"), "record.directory")


@ROOT
def test_a_full_disk_on_which_room_is_made_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with mounted(tmp_path, "size=8k") as disk:
        (disk / "much").write_bytes(bytes(8192))
        check_directory(disk, "record.directory", may_be_full=True)
        assert "No space left" in caplog.text
    with mounted(tmp_path / "disk", "ro") as disk, pytest.raises(UsageError, match="Read-only"):
        check_directory(disk, "record.directory", may_be_full=True)


@pytest.mark.parametrize("kind", NO_DIRECTORY)
def test_the_service_does_not_start_with_such_a_place(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "fakedirty.toml"
    place = NO_DIRECTORY[kind](tmp_path)
    path.write_text(f'[record]\ndirectory = "{place}"\n[metrics]\nlisten = ""\n[control]\nsocket = ""\n')
    assert main(["observe", "--all", "--config", str(path)]) == 2
    assert "record.directory" in capsys.readouterr().err
    path.write_text(f'[metrics]\nlisten = ""\n[control]\nsocket = "{place}/control"\n')
    assert main(["observe", "--all", "--config", str(path)]) == 2
    assert "control.socket" in capsys.readouterr().err


def test_a_configuration_that_is_read_again_is_held_to_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "fakedirty.toml"
    again = threading.Event()
    before = f'[record]\ndirectory = "{tmp_path}"\n'
    source = ConfigurationSource(path)
    maintenance = Maintenance(ServiceManager({}), lambda: (), again, source=source, configuration=parse(before))
    path.write_text(f'[record]\ndirectory = "{_file(tmp_path)}"\n')
    again.set()
    maintenance.tick()
    maintenance.close()
    assert "the configuration stays as it was: cannot write to record.directory" in caplog.text


def test_a_trace_that_could_not_be_written_is_known_afterwards(tmp_path: Path) -> None:
    """Exit statuses rest on it; what was reported once is not raised again at the end."""
    replay = Replay(TRACES / "patched.trace")
    subject = replay.open()
    writer = TraceWriter(tmp_path / "nowhere" / "x.trace", replay.origin)
    with pytest.raises(RecordError):
        writer.begin(subject)
    assert writer.failure
    outputs = Outputs("run", out=None, exports=False, json=True)
    outputs.set_trace_writer(writer)
    assert outputs.failed
    writer.close()
    replay.close()
