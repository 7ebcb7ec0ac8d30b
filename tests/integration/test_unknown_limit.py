"""A manager holds every QMP socket, and the real downtime limit is a small one: what is said of the migration."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from fakedirty.export.exporter import Exporter
from fakedirty.format.sentences import in_words
from fakedirty.lab.qemu import qemu_binary
from fakedirty.model.enums import Level
from metrics_text import exported
from migrating import Notes, observed, pair, wait

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: for BPF")

RATE = 12 << 20  # bytes a second: the 500 pages that the guest writes take 170 ms, QEMU's default is 300 ms


def test_the_verdict_names_its_assumption_and_is_withdrawn(tmp_path: Path) -> None:
    notes, exporter = Notes(), Exporter()
    with pair(qemu_binary(), tmp_path) as vm, socket.socket(socket.AF_UNIX) as held:
        held.connect(os.fspath(vm.source.observer_socket))
        with observed(vm.source, Level.PATCHED, [notes, exporter]):
            vm.migrate(fake_dirty_mode="observe", max_bandwidth=RATE, downtime_limit=20)
            wait(lambda: bool(notes.migrations))
            [migration] = notes.migrations
            wait(lambda: migration.forecast is not None)
            assert (found := migration.forecast)
            assert found.limit_assumed
            assert found.as_is.converges
            assert "if the limit is QEMU's default of 300 ms, or any above" in in_words(found)
            assert found.as_is.least_limit_seconds
            assert 0.02 < found.as_is.least_limit_seconds.expected < 0.3
            assert 'source="assumed",vm="source"} 0.3' in exported(exporter)
            wait(lambda: migration.refuted)
            assert len(migration.rounds) < 70
            assert (found := migration.forecast)
            assert "and has not: this verdict is withdrawn" in in_words(found)
            text = exported(exporter)
            assert 'fakedirty_verdict_refuted{vm="source"} 1.0' in text
            assert "fakedirty_verdict_converges{" not in text
            vm.converge()
            wait(lambda: bool(notes.over))
            assert migration.refuted
