"""Once QEMU has decided on a switchover its mode stays: a change is refused, and what was promised is kept later."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakedirty.cli.main import main
from fakedirty.lab.cleanup_retry import once_cleaned_up
from fakedirty.lab.qemu import qemu_binary
from fakedirty.model.enums import Level
from fakedirty.qmp.mode import read_mode
from fakedirty.qmp.rounds_command import COMMANDS, history_command
from fakedirty.record.load import load
from fakedirty.record.recorder import Recorder
from migrating import Notes, Pair, capable, observed, pair, wait

PAUSED = "pre-switchover"
PATIENCE = 60


@pytest.fixture
def vm(tmp_path: Path) -> Iterator[Pair]:
    """A source that stops before it switches over."""
    with pair(qemu_binary(), tmp_path) as pair_:
        if history_command(pair_.source.qmp) != COMMANDS[0]:
            pytest.skip("this QEMU takes another mode at any moment")
        capable(pair_, "pause-before-switchover")
        yield pair_


def decide(vm: Pair) -> None:
    vm.migrate(max_bandwidth=1 << 40, downtime_limit=10_000)
    wait(lambda: vm.info()["status"] == PAUSED)


@pytest.mark.parametrize("level", [Level.PATCHED, Level.QMP], ids=str)
def test_a_mode_that_comes_too_late_is_refused_and_the_migration_goes_on(
    level: Level, vm: Pair, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    vm.set(fake_dirty_mode="observe")
    notes = Notes()
    with observed(vm.source, level, [notes, Recorder(tmp_path / "out", "r")]):
        decide(vm)
        assert main(["mode", "skip", "--qmp", str(vm.source.observer_socket)]) == 1
        told = capsys.readouterr().err
        assert "the switchover of the migration has been decided. Set them when it is over" in told
        assert str(read_mode(vm.source.qmp)[0]) == "observe"
        vm.source.qmp.execute("migrate-continue", state=PAUSED)
        wait(lambda: len(notes.over) == 1)
    [migration] = notes.over
    assert (migration.valid, migration.reasons) == (True, [])
    assert [str(each.mode) for each in migration.rounds] == ["observe"] * len(migration.rounds)
    (row,) = load(tmp_path / "out").migrations.to_dict("records")
    last = migration.rounds[-1]
    assert row["switchover_pages"] == sum((last.normal_pages or 0, last.zero_pages or 0, last.xbzrle_pages or 0))
    assert row["switchover_seconds"] == pytest.approx(last.duration_seconds, abs=1e-6)
    assert row["switchover_expected_pages"] >= 0
    assert row["switchover_stopped_seconds"] >= row["switchover_seconds"]


def test_what_was_promised_is_put_back_when_the_migration_is_over(vm: Pair) -> None:
    command = [sys.executable, "-m", "fakedirty.cli.main", "mode", "skip", "--qmp", str(vm.source.observer_socket)]
    with subprocess.Popen([*command, "--revert-after", "2"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert "skip" in process.stdout.readline()
        decide(vm)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(4)
        assert str(read_mode(vm.source.qmp)[0]) == "skip"
        vm.source.qmp.execute("migrate_cancel")
        assert process.wait(PATIENCE) == 0
        assert "off" in process.stdout.read()
    assert str(read_mode(vm.source.qmp)[0]) == "off"


def test_the_next_migration_follows_at_once(vm: Pair) -> None:
    decide(vm)
    vm.source.qmp.execute("migrate_cancel")
    once_cleaned_up(lambda: vm.set(fake_dirty_mode="skip"))
    vm.receive()
    decide(vm)
    vm.source.qmp.execute("migrate-continue", state=PAUSED)
    wait(lambda: vm.info()["status"] == "completed")
