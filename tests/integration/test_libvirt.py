"""Domains of a real libvirtd: found by name, observed while it moves them, and toggled through its API alone."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakedirty.record.load import load
from migrating import wait

pytest.importorskip("libvirt", reason="libvirt's Python module is not installed: apt-get install python3-libvirt")
from libvirts import Libvirt, libvirtd, moving, start
from serving import said, service

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: for BPF, mounts and libvirtd"),
    pytest.mark.skipif(
        shutil.which("libvirtd") is None, reason="libvirtd is not installed: apt-get install libvirt-daemon"
    ),
]


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Libvirt, Libvirt]]:
    """Two libvirts that can migrate to each other."""
    directory = tmp_path_factory.mktemp("libvirt")
    with libvirtd(directory / "a") as a, libvirtd(directory / "b") as b:
        yield a, b


@pytest.fixture(autouse=True)
def no_domain_is_left(hosts: tuple[Libvirt, Libvirt]) -> Iterator[None]:
    yield
    for host in hosts:
        host.destroy_all()


def asked(host: Libvirt, *arguments: str) -> subprocess.CompletedProcess[str]:
    return said(*arguments, environment=host.environment)


@pytest.mark.parametrize("level", ["patched", "qmp"])
def test_a_domain_is_observed_and_toggled_while_libvirt_migrates_it(
    level: str, hosts: tuple[Libvirt, Libvirt], tmp_path: Path
) -> None:
    a, b = hosts
    start(a, "web")
    with service(tmp_path, "--level", level, environment=a.environment) as daemon:
        daemon.wait_for(a.pids["web"])
        assert daemon.said("mode", "observe", "--vm", "web").returncode == 0
        with moving(a, "web", b) as migration:
            wait(lambda: migration.syncs() >= 2)
            told = daemon.said("mode", "skip", "--json", "--pid", str(a.pids["web"]))
            assert (told.returncode, json.loads(told.stdout)["mode"]) == (0, "skip"), told.stderr
            # the other QEMU is the same domain, of another libvirt
            other = asked(a, "mode", "off", "--pid", str(b.pids["web"]), "--control", str(tmp_path / "none"))
            assert (other.returncode, "another libvirt may manage it" in other.stderr) == (1, True), other.stderr
            wait(lambda: migration.syncs() >= 4)
            migration.finish()
        daemon.wait_for_recordings("web")
        daemon.stop()
    recording = load(tmp_path / "out")
    sources = recording.migrations[recording.migrations["side"] == "source"]
    [web] = sources.to_dict("records")
    # libvirt ends the QEMU at once: without its totals nothing is called valid, and nothing is wrong either
    assert (web["level"], web["invalid_rounds"], web["lost_events"]) == (level, 0, 0)
    assert web["totals"] in ("equal", "unchecked"), web["reason"]
    assert (web["valid"] is True) == (web["totals"] == "equal"), web["reason"]
    assert bool(web["reason"]) == (web["totals"] == "unchecked")
    assert list(recording.toggles["to_mode"])[-1] == "skip"
    assert recording.rounds["skipped_pages"].sum() > 0
    if level == "patched":  # libvirt ends the QEMU at once: whoever asks may not have seen its last state
        assert web["outcome"] == "completed"
        assert web["outside_downtime_ms"] > 0
    [arrived] = b.connect().listAllDomains()
    assert arrived.isActive()


def test_without_a_service_libvirt_is_asked(hosts: tuple[Libvirt, Libvirt], tmp_path: Path) -> None:
    a, b = hosts
    start(a, "db")
    nobody = ("--vm", "db", "--control", str(tmp_path / "none"))
    told = asked(a, "mode", "observe", "--json", *nobody)
    assert (told.returncode, json.loads(told.stdout)["mode"]) == (0, "observe"), told.stderr
    [db] = json.loads(asked(a, "doctor", "--vm", "db", "--json").stdout)["targets"]
    assert db["version"].startswith("10.")
    assert [(asked["path"][:16], asked["problem"]) for asked in db["qmp"]] == [("libvirt's domain", "")]
    # the libvirt of another host does not know it
    unknown = asked(b, "mode", "skip", *nobody)
    assert (unknown.returncode, "LIBVIRT_DEFAULT_URI" in unknown.stderr) == (1, True), unknown.stderr
    # one that has stopped is not waited for, and the QEMU is observed nevertheless
    a.process.send_signal(signal.SIGSTOP)
    try:
        stopped = asked(a, "mode", "skip", *nobody)
        assert (stopped.returncode, "is libvirtd stopped?" in stopped.stderr) == (1, True), stopped.stderr
        with service(tmp_path, environment=a.environment) as daemon:
            daemon.wait_for(a.pids["db"])
    finally:
        a.process.send_signal(signal.SIGCONT)
