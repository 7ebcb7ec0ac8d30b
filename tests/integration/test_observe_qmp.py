"""The level qmp on real QEMUs: what polling tells, with and without the series."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakedirty.errors import QmpError
from fakedirty.lab.qemu import qemu_binary, stock_binary
from fakedirty.model.enums import Level
from fakedirty.observe.host.target import by_pid
from fakedirty.observe.live import LiveTrace
from fakedirty.qmp.client import Qmp
from migrating import SLOW, Notes, observed, pair, wait


def test_a_patched_qemu_tells_all_of_its_rounds(tmp_path: Path) -> None:
    by_qmp, by_probes = Notes(), Notes()
    with (
        pair(qemu_binary(), tmp_path) as vm,
        observed(vm.source, Level.PATCHED, [by_probes]),
        observed(vm.source, Level.QMP, [by_qmp]),
    ):
        vm.set(fake_dirty_mode="observe")
        vm.migrate(max_bandwidth=SLOW, downtime_limit=1)
        vm.wait_for_syncs(4)
        info = vm.converge()
        wait(lambda: len(by_qmp.over) == len(by_probes.over) == 1)
    assert by_qmp.over[0].rounds == by_probes.over[0].rounds
    assert by_qmp.over[0].valid
    assert by_qmp.over[0].state == "completed"
    assert by_qmp.over[0].report["ram"] == info["ram"]


def test_a_stock_qemu_tells_sums(tmp_path: Path) -> None:
    notes = Notes()
    with pair(stock_binary(), tmp_path) as vm, observed(vm.source, Level.QMP, [notes]):
        vm.migrate(max_bandwidth=SLOW, downtime_limit=1)
        vm.wait_for_syncs(2)
        ram = vm.converge()["ram"]
        wait(lambda: len(notes.over) == 1)
    [migration] = notes.over
    assert migration.total("normal_pages") == ram["normal"]
    assert migration.total("zero_pages") == ram["duplicate"]
    assert migration.total("fake_pages") is None


def test_a_busy_socket_is_an_error_and_a_lost_one_is_not(tmp_path: Path) -> None:
    notes = Notes()
    with pair(stock_binary(), tmp_path) as vm:
        with Qmp.connect(vm.source.observer_socket), pytest.raises(QmpError):
            LiveTrace(by_pid(vm.source.pid), Level.QMP, monitor=vm.source.observer_socket).open()
        with observed(vm.source, Level.QMP, [notes]):
            vm.migrate(max_bandwidth=SLOW, downtime_limit=1)
            wait(lambda: bool(notes.migrations))
            vm.source.process.kill()
            wait(lambda: len(notes.over) == 1)
    assert not notes.over[0].ended  # it may have come to its end between two looks
