"""The service beside real QEMUs: it tells what it observes; modes are set through it, for a time or for a client."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from fakedirty.lab.qemu import qemu_binary, stock_binary
from fakedirty.qmp.mode import HASH, MODE
from fakedirty.record.load import load
from fakedirty.service.control import asking
from migrating import PATIENCE_SECONDS, SLOW, WORKLOAD, Pair, pair, wait

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: for BPF")


def fakedirty(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "fakedirty.cli.main", *arguments]


def said(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(fakedirty(*arguments), check=False, capture_output=True, text=True, timeout=PATIENCE_SECONDS)


@contextmanager
def service(directory: Path, *arguments: str) -> Iterator[tuple[Path, subprocess.Popen[str]]]:
    """Its socket and its process, once it answers."""
    control = directory / "control"
    process = subprocess.Popen(
        fakedirty("observe", "--all", "--control", str(control), "--out", str(directory / "out"), *arguments),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait(lambda: control.exists() or process.poll() is not None)
        yield control, process
    finally:
        process.kill()
        process.communicate()


def observed_there(control: Path, vm: Pair) -> bool:
    told = json.loads(said("status", "--control", str(control), "--json").stdout)
    return vm.source.pid in [each["pid"] for each in told["vms"]]


def mode_of(vm: Pair) -> str:
    parameters = vm.source.qmp.execute("query-migrate-parameters")
    return str(parameters[MODE])


@pytest.mark.parametrize("level", ["patched", "qmp"])
def test_modes_are_set_through_it(level: str, tmp_path: Path) -> None:
    """At level qmp it holds the socket that is left, so that nobody else could."""
    with pair(qemu_binary(), tmp_path, name="web") as vm, service(tmp_path, "--level", level) as (control, process):
        wait(lambda: observed_there(control, vm))
        here = ("--control", str(control))
        vm.migrate(max_bandwidth=SLOW, downtime_limit=1, fake_dirty_mode="observe")
        vm.wait_for_syncs(2)
        told = said("mode", "skip", "--vm", "web", "--json", *here)
        assert json.loads(told.stdout) == {"vm": "web", "mode": "skip", "hash": "xxh3-64"}, told.stderr
        assert mode_of(vm) == "skip"
        vm.wait_for_syncs(4)
        vm.converge()
        wait(lambda: bool(list((tmp_path / "out").glob("web/*/migration.json"))))
        status = json.loads(said("status", "--json", *here).stdout)
        [web] = [each for each in status["vms"] if each["vm"] == "web"]
        assert (web["level"], web["last"]["outcome"]) == (level, "completed")
        assert "completed" in said("status", *here).stdout
        # who asks for what is not there
        unknown = said("mode", "off", "--vm", "wbe", *here)
        assert (unknown.returncode, "did you mean web" in unknown.stderr) == (1, True)
        wrong = said("mode", "skip", "--vm", "web", "--hash", "sha3", *here)
        assert (wrong.returncode, "sha3" in wrong.stderr) == (1, True)
        assert mode_of(vm) == "skip"
        process.terminate()
        _, stderr = process.communicate(timeout=PATIENCE_SECONDS)
    assert f"web (pid {vm.source.pid}): mode skip, hash xxh3-64, for process" in stderr
    recording = load(tmp_path / "out")
    toggles = recording.toggles[recording.toggles["vm"] == "web"]
    assert list(toggles["to_mode"])[-1] == list(toggles["read_back"])[-1] == "skip"


def test_modes_are_put_back(tmp_path: Path) -> None:
    with pair(qemu_binary(), tmp_path, name="web") as vm, service(tmp_path) as (control, process):
        wait(lambda: observed_there(control, vm))
        here = ("--vm", "web", "--control", str(control))
        assert said("mode", "observe", "--hash", "sha1", *here).returncode == 0
        # after a time
        assert said("mode", "skip", "--revert-after", "1.5", *here).returncode == 0
        assert mode_of(vm) == "skip"
        wait(lambda: mode_of(vm) == "observe")
        assert vm.source.qmp.execute("query-migrate-parameters")[HASH] == "sha1"
        # when who asked for it is killed
        with subprocess.Popen(fakedirty("mode", "skip", "--hold", *here), stdout=subprocess.PIPE) as client:
            wait(lambda: mode_of(vm) == "skip")
            client.kill()
        wait(lambda: mode_of(vm) == "observe")
        # but not where somebody has meant something else since
        with asking("mode", path=control, vm="web", mode="skip", hold=True):
            assert said("mode", "off", *here).returncode == 0
        own = ("--qmp", str(vm.source.observer_socket))
        assert said("mode", "skip", "--revert-after", "0.2", *own).returncode == 0
        assert mode_of(vm) == "off"
        # and before the service ends
        assert said("mode", "skip", "--revert-after", "600", *here).returncode == 0
        process.terminate()
        process.communicate(timeout=PATIENCE_SECONDS)
        assert mode_of(vm) == "off"


def test_two_guests_of_one_name_and_a_qemu_without_the_series(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with (
        pair(qemu_binary(), tmp_path, name="web") as vm,
        pair(stock_binary(), tmp_path / "other", name="web") as other,
        service(tmp_path) as (control, _process),
    ):
        wait(lambda: observed_there(control, vm) and observed_there(control, other))
        here = ("--control", str(control))
        both = said("mode", "skip", "--vm", "web", *here)
        assert both.returncode == 2
        assert str(vm.source.pid) in both.stderr
        assert str(other.source.pid) in both.stderr
        assert said("mode", "skip", "--pid", str(vm.source.pid), *here).returncode == 0
        without = said("mode", "skip", "--pid", str(other.source.pid), *here)
        assert (without.returncode, "without the fake dirty series" in without.stderr) == (1, True)
        assert mode_of(vm) == "skip"
        second = said("observe", "--all", *here)
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
        service(tmp_path, "--config", str(config)) as (control, process),
    ):
        wait(lambda: observed_there(control, vm))
        vm.migrate(max_bandwidth=SLOW, downtime_limit=1, fake_dirty_mode="skip", fake_dirty_switchover=False)
        vm.wait_for_syncs(7)
        if left == "off":
            wait(lambda: mode_of(vm) == "off")
        else:
            assert mode_of(vm) == "skip"
        vm.converge()
        process.terminate()
        _, stderr = process.communicate(timeout=PATIENCE_SECONDS)
    assert ("skip is switched off: hashing took" in stderr) == (left == "off"), stderr
    toggles = load(tmp_path / "out").toggles
    assert list(toggles[toggles["vm"] == "web"]["to_mode"]) == ["skip", *(["off"] if left == "off" else [])]
