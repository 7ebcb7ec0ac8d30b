"""The QEMU series with files: a guest that is saved while it runs, with skip, is the same when it is restored."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakedirty.lab.machine import Machine
from fakedirty.lab.migrate import PATIENCE_MS, MigrationResult, Settings, Step, migrate
from fakedirty.model.enums import Mode
from migrating import wait
from series import SLOW, TIGHT_MS, assert_equal, bench, let_through, pair, rounds, setting, toggling

SKIP: dict[str, object] = {"fake-dirty-mode": "skip", "fake-dirty-audit": True}
WAYS: dict[str, tuple[dict[str, bool], dict[str, object]]] = {
    "one writer": ({}, {}),
    "multifd": ({"multifd": True}, {"multifd-channels": 3}),
    "direct-io": ({"multifd": True}, {"multifd-channels": 3, "direct-io": True}),
}
ROUNDS = 8


def save(source: Machine, destination: Machine, settings: Settings, steps: list[Step]) -> MigrationResult:
    """Into the file, and out of it if the migration is complete."""
    return migrate(source, destination, settings, time_limit=60, steps=steps)


def by(way: str, file: Path, parameters: dict[str, object] = SKIP, *, pauses: bool = False) -> Settings:
    """One of the ways to write a file; one that `pauses` before the switchover does not end by itself."""
    capabilities, shared = WAYS[way]
    given = {"mapped-ram": True, "pause-before-switchover": pauses, **capabilities}
    return Settings(TIGHT_MS, SLOW, parameters, given, shared, file)


@pytest.mark.parametrize("zero_pages", ["multifd", "legacy", "none"])
@pytest.mark.parametrize("way", WAYS)
def test_what_is_restored_is_what_was_saved(way: str, zero_pages: str, tmp_path: Path) -> None:
    parameters = {**SKIP, "zero-page-detection": zero_pages}
    with pair() as (source, destination):
        outcome = save(source, destination, by(way, tmp_path / "guest", parameters), [let_through(ROUNDS)])
        assert outcome.status == "completed", outcome.final
        assert_equal(source, destination)
        rounds(source.qmp)
        totals = outcome.final["fake-dirty"]
        assert totals["skipped"] > 1000
        assert totals["false-equal"] == 0


@pytest.mark.parametrize("way", ["one writer", "multifd"])
def test_modes_are_toggled_while_it_is_saved(way: str, tmp_path: Path) -> None:
    modes = [Mode.SKIP, Mode.OFF, Mode.SKIP, Mode.OBSERVE, Mode.SKIP]
    steps = [Step(toggling(mode), after_round=number) for number, mode in enumerate(modes)]
    with pair() as (source, destination):
        outcome = save(source, destination, by(way, tmp_path / "guest"), [*steps, let_through(ROUNDS)])
        assert outcome.status == "completed", outcome.final
        assert_equal(source, destination)
        assert outcome.final["fake-dirty"]["skipped"] > 0


@pytest.mark.parametrize("way", ["multifd", "direct-io"])
def test_a_save_that_is_cancelled_again_and_again_leaves_the_guest_running(way: str, tmp_path: Path) -> None:
    """Channels have pages that were queued before the cancel, at whatever moment that comes."""
    with bench() as both, both.source() as source, both.destination() as destination:
        busy: dict[str, object] = {"fake-dirty-mode": "observe"}
        for number in range(10):
            cancel = Step(lambda qmp: qmp.execute("migrate_cancel"), after_seconds=0.01 + 0.03 * number)
            fast = Step(setting({"max-bandwidth": 10**10}), after_seconds=0)
            outcome = save(source, destination, by(way, tmp_path / "guest", busy, pauses=True), [fast, cancel])
            assert outcome.status == "cancelled"
            wait(lambda: source.qmp.execute("query-status")["status"] == "running")
        at_once = Step(setting({"downtime-limit": PATIENCE_MS}), after_round=3)
        outcome = save(source, destination, by(way, tmp_path / "guest"), [at_once])
        assert outcome.status == "completed", outcome.final
        assert_equal(source, destination)


@pytest.mark.parametrize("way", WAYS)
def test_a_full_disk_is_an_error_and_the_next_save_is_right(way: str, small_disk: Path, tmp_path: Path) -> None:
    with bench() as both, both.source() as source, both.destination() as destination:
        outcome = save(source, destination, by(way, small_disk / "guest"), [])
        assert outcome.status == "failed"
        assert "No space left on device" in outcome.final["error-desc"]
        wait(lambda: source.qmp.execute("query-status")["status"] == "running")
        outcome = save(source, destination, by(way, tmp_path / "guest"), [let_through(ROUNDS)])
        assert outcome.status == "completed", outcome.final
        assert_equal(source, destination)
        assert outcome.final["fake-dirty"]["skipped"] > 1000
