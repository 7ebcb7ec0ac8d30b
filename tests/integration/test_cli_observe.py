"""``fakedirty observe`` where not all goes as planned: who comes late, is killed, has a full disk, or stops reading."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakedirty.lab.qemu import qemu_binary
from fakedirty.record.load import load
from migrating import CRAWL, PATIENCE_SECONDS, SLOW, Pair, pair
from observing import observe

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: for BPF, network namespaces and mounts")


@pytest.fixture
def guests(tmp_path: Path) -> Iterator[Pair]:
    with pair(qemu_binary(), tmp_path) as both:
        yield both


def rounds_until(process: subprocess.Popen[str], count: int) -> None:
    """Read JSON lines until `count` rounds have been told."""
    assert process.stdout
    while count:
        count -= json.loads(process.stdout.readline())["type"] == "round"


def test_who_joins_late_is_told_so(guests: Pair, tmp_path: Path) -> None:
    guests.migrate(max_bandwidth=CRAWL, fake_dirty_mode="observe")
    guests.wait_for_syncs(1)
    with observe("--pid", str(guests.source.pid), "--once", "--out", str(tmp_path / "out")) as (process, _):
        assert guests.converge()["status"] == "completed"
        stdout, stderr = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 3, (stdout, stderr)
    assert "joined while it ran" in stdout
    assert list(load(tmp_path / "out").migrations["partial"]) == [True]


def test_a_qemu_that_is_killed_leaves_a_readable_recording(guests: Pair, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with observe("--pid", str(guests.source.pid), "--json", "--out", str(out)) as (process, _):
        guests.migrate(max_bandwidth=SLOW, downtime_limit=1, fake_dirty_mode="observe")
        rounds_until(process, 2)
        os.kill(guests.source.pid, signal.SIGKILL)
        process.communicate(timeout=PATIENCE_SECONDS)
    recording = load(out)
    assert list(recording.migrations["outcome"]) == ["failed"]
    assert len(recording.rounds) >= 2
    assert recording.rounds["valid"].all()


def test_a_killed_observer_leaves_what_it_had_and_the_migration_goes_on(guests: Pair, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with observe("--pid", str(guests.source.pid), "--json", "--pages", "--out", str(out)) as (process, _):
        guests.migrate(max_bandwidth=SLOW, downtime_limit=1, fake_dirty_mode="observe")
        rounds_until(process, 2)
        process.kill()
        process.communicate()
    recording = load(out)
    assert recording.directories[0].name.endswith(".partial")
    assert list(recording.migrations["outcome"]) == ["unfinished"]
    finished = recording.rounds["round"]
    assert list(finished[:2]) == [1, 2]
    in_files = recording.pages.groupby("round").size()
    assert all(
        in_files[each] == visited for each, visited in zip(finished, recording.rounds["visited_pages"], strict=True)
    )
    assert guests.converge()["status"] == "completed"


def test_a_full_disk_ends_the_recording_and_nothing_else(guests: Pair, small_disk: Path) -> None:
    (small_disk / "ballast").write_bytes(bytes(96 * 1024))
    arguments = ("--json", "--once", "--pages", "--out", str(small_disk))
    with observe("--pid", str(guests.source.pid), *arguments) as (process, _):
        guests.migrate(max_bandwidth=SLOW, downtime_limit=1, fake_dirty_mode="observe")
        rounds_until(process, 3)
        assert guests.converge()["status"] == "completed"
        stdout, stderr = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 1
    assert stderr.count("No space left") == 1
    last = json.loads(stdout.splitlines()[-1])
    assert (last["type"], last["outcome"], last["valid"]) == ("ended", "completed", True)
    recording = load(small_disk)
    assert recording.rounds["valid"].all()


@pytest.mark.parametrize("form", [[], ["--json"]], ids=["table", "json"])
def test_a_reader_who_leaves_ends_it(guests: Pair, form: list[str]) -> None:
    with observe("--pid", str(guests.source.pid), *form) as (process, _):
        guests.migrate(max_bandwidth=SLOW, downtime_limit=1, fake_dirty_mode="observe")
        assert process.stdout
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(PATIENCE_SECONDS) == 0
        assert process.stderr
        assert "nobody reads" in process.stderr.read()
    assert guests.converge()["status"] == "completed"


def test_several_migrations_and_a_signal(guests: Pair, tmp_path: Path) -> None:
    with observe("--pid", str(guests.source.pid), "--json", "--out", str(tmp_path / "out")) as (process, _):
        guests.migrate(max_bandwidth=SLOW, downtime_limit=1, fake_dirty_mode="observe")
        rounds_until(process, 1)
        guests.source.qmp.execute("migrate_cancel")
        assert process.stdout
        while json.loads(process.stdout.readline())["type"] != "ended":
            pass
        guests.migrate(max_bandwidth=SLOW, fake_dirty_mode="skip")
        rounds_until(process, 1)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0, stderr
    migrations = load(tmp_path / "out").migrations.sort_values("started_at")
    assert list(migrations["outcome"]) == ["cancelled", "unfinished"]
    assert stderr.count("recorded: ") == 2
    assert guests.converge()["status"] == "completed"
