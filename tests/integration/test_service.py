"""The service beside real QEMUs: it tells what it observes; modes are set through it, for a time or for a client."""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from fakedirty.lab.qemu import qemu_binary, stock_binary
from fakedirty.qmp.mode import HASH, MODE
from fakedirty.record.load import load
from fakedirty.service.control import asking
from migrating import PATIENCE_SECONDS, SLOW, WORKLOAD, Pair, pair, wait
from serving import fakedirty, said, service
from test_host import guests
from watching import COLUMNS, LINES, piping, watching

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: for BPF")


def mode_of(vm: Pair) -> str:
    parameters = vm.source.qmp.execute("query-migrate-parameters")
    return str(parameters[MODE])


@pytest.mark.parametrize("level", ["patched", "qmp"])
def test_modes_are_set_through_it(level: str, tmp_path: Path) -> None:
    """At level qmp it holds the socket that is left, so that nobody else could."""
    with pair(qemu_binary(), tmp_path, name="web") as vm, service(tmp_path, "--level", level) as daemon:
        daemon.wait_for(vm.source.pid)
        vm.migrate(max_bandwidth=SLOW, downtime_limit=1, fake_dirty_mode="observe")
        vm.wait_for_syncs(2)
        told = daemon.said("mode", "skip", "--vm", "web", "--json")
        assert json.loads(told.stdout) == {"vm": "web", "mode": "skip", "hash": "xxh3-64"}, told.stderr
        assert mode_of(vm) == "skip"
        vm.wait_for_syncs(4)
        vm.converge()
        daemon.wait_for_recordings("web")
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


def test_it_is_watched_on_a_screen_and_in_a_pipe(tmp_path: Path) -> None:
    picture = tmp_path / "screen.svg"
    with (
        guests(tmp_path, web=qemu_binary(), db=stock_binary()) as vms,
        service(tmp_path) as daemon,
        watching("--control", str(daemon.control), "--svg", str(picture)) as screen,
        piping(tmp_path / "lines", "--vm", "web", "--control", str(daemon.control)) as piped,
    ):
        daemon.wait_for(*(vm.source.pid for vm in vms.values()))
        wait(lambda: "nothing seen of: db, web" in screen.shown)
        vms["web"].migrate(max_bandwidth=SLOW, downtime_limit=1, fake_dirty_mode="observe")
        vms["db"].migrate(max_bandwidth=SLOW, downtime_limit=1)
        heads = [f"{name}  pid {vm.source.pid}, level " for name, vm in vms.items()]
        wait(lambda: "of what is sent again" in screen.shown and all(head in screen.shown for head in heads))
        assert daemon.said("mode", "skip", "--vm", "web").returncode == 0
        wait(lambda: "-- mode observe -> skip" in screen.shown)
        for vm in vms.values():
            vm.converge()
        wait(lambda: screen.shown.count(": completed") == 2)
        screen.process.terminate()
        assert screen.process.wait(timeout=PATIENCE_SECONDS) == 0
        daemon.stop()
        assert piped.wait(timeout=PATIENCE_SECONDS) == 1
    assert all(len(frame) <= LINES and max(map(len, frame)) <= COLUMNS for frame in screen.frames)
    assert "\x1b[2J" not in screen.written  # which would flicker
    assert screen.left_behind.count(": completed") == 2
    words = "".join(ElementTree.parse(picture).getroot().itertext()).replace("\xa0", " ")
    assert words.count("completed") == 2
    lines = (tmp_path / "lines").read_text().splitlines()
    assert all(line.startswith("web: ") for line in lines)
    rounds = [line for line in lines if re.match(r"web: +\d+ (bulk|iter|swch) ", line)]
    [recorded] = load(tmp_path / "out").migrations.query("vm == 'web'")["rounds"]
    assert [int(line.split()[1]) for line in rounds] == list(range(1, recorded + 1))
    assert lines[-1].startswith("web: completed; total ")


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
        with asking("mode", path=daemon.control, vm="web", mode="skip", hold=True):
            assert daemon.said("mode", "off", *here).returncode == 0
        own = ("--qmp", str(vm.source.observer_socket))
        assert said("mode", "skip", "--revert-after", "0.2", *own).returncode == 0
        assert mode_of(vm) == "off"
        # and before the service ends
        assert daemon.said("mode", "skip", "--revert-after", "600", *here).returncode == 0
        daemon.stop()
        assert mode_of(vm) == "off"


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
    config = tmp_path / "service.toml"
    config.write_text("[metrics]\nlisten = ''\n[policy]\nskip_off = true\nskip_off_seconds = 0.0001\n")
    workload = replace(WORKLOAD, fake=fake, changed=changed)
    with (
        pair(qemu_binary(), tmp_path, name="web", workload=workload) as vm,
        service(tmp_path, "--config", str(config)) as daemon,
    ):
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
    assert list(toggles[toggles["vm"] == "web"]["to_mode"]) == ["skip", *(["off"] if left == "off" else [])]
