"""A few fuzzed migrations, on the QEMU of the series: nothing wrong, and most of them say something about skipping."""

from __future__ import annotations

import json

import pytest
from fakedirty.cli.main import main
from fakedirty.lab.fuzz.plans.faults import KILLED_IN_POSTCOPY

SEED, RUNS = 5, 6


def test_fuzzed_migrations_leave_memory_equal(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["fuzz", "--runs", str(RUNS), "--seed", str(SEED), "--accel", "tcg", "--json"])
    said = capsys.readouterr()
    assert status == 0, said.err
    report = json.loads(said.out)
    assert report["manifest"]["qemu"]["version"].startswith("QEMU emulator version 10.")
    assert [migration["index"] for migration in report["migrations"]] == list(range(RUNS))
    for migration in report["migrations"]:
        assert not migration["wrong"]
        killed = KILLED_IN_POSTCOPY in dict(migration["breaks"])
        assert migration["equal"] is not killed, "where the destination was killed there is nothing to compare"
    assert any(migration["counts"] for migration in report["migrations"])
    assert any(count for row in report["coverage"].values() for count in row.values())
