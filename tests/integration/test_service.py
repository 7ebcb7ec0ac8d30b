"""The service beside real QEMUs: it tells what it observes; modes are set through it, for a time or for a client."""

from __future__ import annotations

import json
import os
import subprocess
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from fakedirty.lab.qemu import qemu_binary, stock_binary
from fakedirty.qmp.parameters import HASH, MODE
from fakedirty.record.load import load
from fakedirty.service.control import held_request
from grafana_server import TOKEN, Grafana, serving
from migrating import SLOW, WORKLOAD, Pair, pair, wait
from serving import fakedirty, said, service
from watching import watching

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: for BPF")


def mode_of(vm: Pair) -> str:
    parameters = vm.source.qmp.execute("query-migrate-parameters")
    return str(parameters[MODE])


@pytest.mark.parametrize("level", ["patched", "qmp"])
def test_modes_are_set_through_it(level: str, tmp_path: Path) -> None:
    """At level qmp it holds the socket that is left, so that nobody else could."""
    with (
        pair(qemu_binary(), tmp_path, name="web") as vm,
        service(tmp_path, "--level", level) as daemon,
        watching("--control", str(daemon.control)) as screen,
    ):
        daemon.wait_for(vm.source.pid)
        vm.migrate(max_bandwidth=SLOW, downtime_limit=1, fake_dirty_mode="observe")
        vm.wait_for_syncs(2)
        told = daemon.said("mode", "skip", "--vm", "web", "--json")
        assert json.loads(told.stdout) == {"vm": "web", "mode": "skip", "hash": "xxh3-64"}, told.stderr
        assert mode_of(vm) == "skip"
        vm.wait_for_syncs(4)
        wait(lambda: "-- mode observe -> skip" in screen.shown)
        vm.converge()
        daemon.wait_for_recordings("web")
        wait(lambda: f"level {level}, " in screen.shown and ": completed" in screen.shown)
        status = daemon.status()
        [web] = [each for each in status["vms"] if each["vm"] == "web"]
        assert (web["level"], web["last"]["outcome"]) == (level, "completed")
        assert "completed" in daemon.said("status").stdout
        # who asks for what is not there
        unknown = daemon.said("mode", "off", "--vm", "wbe")
        assert (unknown.returncode, "did you mean web" in unknown.stderr) == (1, True)
        wrong = daemon.said("mode", "skip", "--vm", "web", "--hash", "sha3")
        assert (wrong.returncode, "sha3" in wrong.stderr) == (1, True)
        assert mode_of(vm) == "skip"
        daemon.stop()
    assert f"web (pid {vm.source.pid}): mode skip, hash xxh3-64, for process" in daemon.log
    recording = load(tmp_path / "out")
    toggles = recording.toggles[recording.toggles["vm"] == "web"]
    assert list(toggles["to_mode"])[-1] == list(toggles["read_back"])[-1] == "skip"


def test_modes_are_put_back(tmp_path: Path) -> None:
    with pair(qemu_binary(), tmp_path, name="web") as vm, service(tmp_path) as daemon:
        daemon.wait_for(vm.source.pid)
        here = ("--vm", "web")
        assert daemon.said("mode", "observe", "--hash", "sha1", *here).returncode == 0
        # after a time
        assert daemon.said("mode", "skip", "--revert-after", "1.5", *here).returncode == 0
        assert mode_of(vm) == "skip"
        wait(lambda: mode_of(vm) == "observe")
        assert vm.source.qmp.execute("query-migrate-parameters")[HASH] == "sha1"
        # when who asked for it is killed
        with subprocess.Popen(
            fakedirty("mode", "skip", "--hold", *here, "--control", str(daemon.control)), stdout=subprocess.PIPE
        ) as client:
            wait(lambda: mode_of(vm) == "skip")
            client.kill()
        wait(lambda: mode_of(vm) == "observe")
        # but not where somebody has meant something else since
        with held_request("mode", path=daemon.control, vm="web", mode="skip", hold=True):
            assert daemon.said("mode", "off", *here).returncode == 0
        own = ("--qmp", str(vm.source.observer_socket))
        assert said("mode", "skip", "--revert-after", "0.2", *own).returncode == 0
        assert mode_of(vm) == "off"
        # by the next service, where one is killed
        with held_request("mode", path=daemon.control, vm="web", mode="skip", hold=True):
            daemon.kill()
        assert mode_of(vm) == "skip"
        with service(tmp_path) as another:
            wait(lambda: mode_of(vm) == "off")
            # and before the service ends
            another.wait_for(vm.source.pid)
            assert another.said("mode", "skip", "--revert-after", "600", *here).returncode == 0
            another.stop()
        assert mode_of(vm) == "off"
    assert "an earlier service had set the mode" in another.log


def test_two_guests_of_one_name_and_a_qemu_without_the_series(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with (
        pair(qemu_binary(), tmp_path, name="web") as vm,
        pair(stock_binary(), tmp_path / "other", name="web") as other,
        service(tmp_path) as daemon,
    ):
        daemon.wait_for(vm.source.pid, other.source.pid)
        both = daemon.said("mode", "skip", "--vm", "web")
        assert both.returncode == 2
        assert str(vm.source.pid) in both.stderr
        assert str(other.source.pid) in both.stderr
        assert daemon.said("mode", "skip", "--pid", str(vm.source.pid)).returncode == 0
        without = daemon.said("mode", "skip", "--pid", str(other.source.pid))
        assert (without.returncode, "without the fake dirty series" in without.stderr) == (1, True)
        assert mode_of(vm) == "skip"
        second = daemon.said("observe", "--all")
        assert (second.returncode, "answers at" in second.stderr) == (2, True)


def test_without_a_service_qmp_is_asked(tmp_path: Path) -> None:
    with pair(qemu_binary(), tmp_path, name="web") as vm:
        nobody = ("--vm", "web", "--control", str(tmp_path / "none"))
        assert said("mode", "observe", *nobody).returncode == 0
        assert mode_of(vm) == "observe"
        told = said("mode", "skip", "--revert-after", "0.3", *nobody)
        assert told.returncode == 0, told.stderr
        assert [line.split()[3] for line in told.stdout.splitlines()] == ["skip,", "observe,"]
        assert mode_of(vm) == "observe"
        assert said("mode", "skip", "--hold", *nobody).returncode == 1
    assert said("status", "--control", str(tmp_path / "none")).returncode == 1


@pytest.mark.parametrize(("fake", "changed", "left"), [(0, 500, "off"), (300, 200, "skip")], ids=["costs", "saves"])
def test_skip_is_switched_off_where_hashing_costs_more_than_it_saves(
    fake: int, changed: int, left: str, tmp_path: Path
) -> None:
    config, token, grafana = tmp_path / "service.toml", tmp_path / "token", Grafana()
    token.write_text(TOKEN)
    workload = replace(WORKLOAD, fake=fake, changed=changed)
    with (
        serving(grafana) as url,
        pair(qemu_binary(), tmp_path, name="web", workload=workload) as vm,
        ExitStack() as stack,
    ):
        config.write_text(
            "[metrics]\nlisten = ''\n[policy]\nskip_off = true\nskip_off_seconds = 0.0001\n"
            f"[grafana]\nurl = '{url}'\ntoken_file = '{token}'\n"
        )
        daemon = stack.enter_context(service(tmp_path, "--config", str(config)))
        daemon.wait_for(vm.source.pid)
        vm.migrate(max_bandwidth=SLOW, downtime_limit=1, fake_dirty_mode="skip", fake_dirty_switchover=False)
        vm.wait_for_syncs(7)
        if left == "off":
            wait(lambda: mode_of(vm) == "off")
        else:
            assert mode_of(vm) == "skip"
        vm.converge()
        daemon.stop()
    assert ("skip is switched off: hashing took" in daemon.log) == (left == "off"), daemon.log
    toggles = load(tmp_path / "out").toggles
    modes = ["skip", *(["off"] if left == "off" else [])]
    assert list(toggles[toggles["vm"] == "web"]["to_mode"]) == modes
    assert not grafana.faults
    told = [posted["tags"][1:4] for posted in grafana.annotations if posted["tags"][1] == "vm:web"]
    assert told == [
        *(["vm:web", "toggle", f"mode:{mode}"] for mode in modes),
        ["vm:web", "migration", "outcome:completed"],
    ]
