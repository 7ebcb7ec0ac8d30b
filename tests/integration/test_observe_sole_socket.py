"""Whoever manages a guest by its only QMP socket is never locked out of it by an observation."""

from __future__ import annotations

import json
import re
from contextlib import ExitStack
from pathlib import Path

import pytest
from fakedirty.cli.main import main
from fakedirty.lab.qemu import qemu_binary, stock_binary
from fakedirty.model.enums import Level
from fakedirty.observe.host.target import by_pid
from fakedirty.observe.live import LiveTrace
from fakedirty.observe.observer import Observer
from fakedirty.qmp.client import Qmp
from migrating import Notes, running, wait
from sole_socket import Sole, managed, manager_that_stays, sole

QEMUS = {"stock": stock_binary, "patched": qemu_binary}


def syncs(vm: Sole) -> int:
    """How many bitmap syncs there were in the migration."""
    found = re.search(r"dirty sync count: (\d+)", vm.hmp("info migrate"), re.IGNORECASE)
    return int(found[1]) if found else 0


def migrated(vm: Sole, qemu: Path, tmp_path: Path, stack: ExitStack) -> None:
    """From here to a destination, by HMP, in some seconds."""
    uri = f"unix:{tmp_path}/migration"
    stack.enter_context(sole(qemu, tmp_path, "destination", incoming=uri))
    vm.hmp("migrate_set_parameter max-bandwidth 1M")
    vm.hmp("migrate_set_parameter downtime-limit 1")
    vm.hmp(f"migrate -d {uri}")
    wait(lambda: syncs(vm) > 2 or vm.status() == "completed")
    vm.hmp("migrate_set_parameter max-bandwidth 1000G")
    vm.hmp("migrate_set_parameter downtime-limit 10000")
    wait(lambda: vm.status() == "completed")


@pytest.mark.parametrize("qemu", QEMUS)
@pytest.mark.parametrize("level", [Level.QMP, Level.STOCK])
def test_a_manager_has_its_turns_while_a_migration_is_observed(qemu: str, level: Level, tmp_path: Path) -> None:
    notes, binary = Notes(), QEMUS[qemu]()
    with ExitStack() as stack:
        vm = stack.enter_context(sole(binary, tmp_path, "only"))
        manager = stack.enter_context(managed(vm.qmp))
        observer = stack.enter_context(running(Observer(LiveTrace(by_pid(vm.pid), level), [notes])))
        migrated(vm, binary, tmp_path, stack)
        wait(lambda: len(notes.over) == 1)
        assert isinstance(observer.trace, LiveTrace)
        assert observer.trace.qmp is None
        wait(lambda: manager.turns > 20)
        with Qmp.connect(vm.qmp, timeout=20) as qmp:
            ram = qmp.execute("query-migrate")["ram"]
    assert not manager.failures
    [migration] = notes.over
    assert migration.state == "completed"
    assert migration.total("normal_pages") == ram["normal"]
    assert migration.total("zero_pages") == ram["duplicate"]
    if level is Level.QMP and qemu == "patched":  # its history makes looks exact that are far apart
        assert migration.valid
        assert [each.round for each in migration.rounds] == list(range(1, len(migration.rounds) + 1))
    if level is Level.QMP and qemu == "stock":
        assert any("cannot be told apart" in each.invalid_reason for each in migration.rounds)
        assert migration.reported("total-time")


def test_a_connection_stays_where_somebody_is_served_at_another_socket(tmp_path: Path) -> None:
    second = tmp_path / "second.qmp"
    with sole(stock_binary(), tmp_path, "two", "-qmp", f"unix:{second},server=on,wait=off") as vm:
        trace = LiveTrace(by_pid(vm.pid), Level.QMP, monitor=second)
        with running(Observer(trace, [])):
            with manager_that_stays(vm.qmp):
                wait(lambda: trace.qmp is not None)
            # the manager is gone: when it comes again, it may come to this one
            wait(lambda: trace.qmp is None)
            with managed(second) as manager:
                wait(lambda: manager.turns > 5)
            assert not manager.failures


def test_a_socket_is_held_on_demand(tmp_path: Path) -> None:
    with sole(stock_binary(), tmp_path, "held") as vm:
        trace = LiveTrace(by_pid(vm.pid), Level.QMP, hold=True)
        with running(Observer(trace, [])):
            wait(lambda: trace.qmp is not None)


def test_a_manager_has_its_turns_while_a_mode_waits_to_be_put_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with sole(qemu_binary(), tmp_path, "toggled") as vm, managed(vm.qmp) as manager:
        assert main(["mode", "observe", "--qmp", str(vm.qmp), "--revert-after", "6", "--json"]) == 0
        assert not manager.failures
    said = [json.loads(line)["mode"] for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    assert said == ["observe", "off"]
