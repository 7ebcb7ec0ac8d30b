"""``make install``: the wheel alone in a venv that knows nothing of the checkout, its unit, and the service at work."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from fakedirty.lab.qemu import qemu_binary
from fakedirty.record.load import load
from migrating import PATIENCE_SECONDS, SLOW, pair, wait

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: for BPF")

CHECKOUT = Path(__file__).parents[2]
LOCATE = "from fakedirty.package_files import carried; print(*(carried(*n.split('/')) for n in {names!r}), sep='\\n')"
PAGE = """
from fakedirty.web.ui.assets import ASSETS, asset
from fakedirty.web.ui.plots import plots
print(*(f"{path}: {len(asset(path).plain)}" for path in ASSETS))
print(plots("light").decode())
"""
CARRIED = [
    "probes/stock/pages.c",
    "probes/events.h",
    "guests/workingset.c",
    "guests/linux/init",
    "qemu-patches/build.sh",
]
CARRIED += ["dashboards/json/now.json"]


@dataclass(frozen=True)
class Installation:
    """Where everything went."""

    home: Path

    @property
    def directories(self) -> dict[str, str]:
        places = {"PREFIX": "opt", "SYSCONFDIR": "etc", "UNITDIR": "units", "STATEDIR": "state"}
        return {name: str(self.home / place) for name, place in places.items()}

    @property
    def program(self) -> Path:
        return self.home / "opt" / "bin" / "fakedirty"

    @property
    def configuration(self) -> Path:
        return self.home / "etc" / "fakedirty.toml"

    @property
    def unit(self) -> Path:
        return self.home / "units" / "fakedirty.service"

    def make(self, target: str) -> None:
        words = [f"{name}={value}" for name, value in self.directories.items()]
        subprocess.run(["make", "-s", target, *words], check=True, cwd=CHECKOUT, capture_output=True)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    installation = Installation(tmp_path_factory.mktemp("installed"))
    installation.make("install")
    yield installation
    installation.make("uninstall")
    assert not installation.program.exists()
    assert not installation.unit.exists()
    assert installation.configuration.exists()


def test_doctor_runs(installed: Installation) -> None:
    command = [installed.program, "doctor", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=installed.home)
    assert done.returncode in (0, 1), done.stderr
    assert "headers" in json.loads(done.stdout)


def test_probes_guests_and_series_are_in_it(installed: Installation) -> None:
    command = [installed.program.with_name("python"), "-c", LOCATE.format(names=CARRIED)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=installed.home)
    found = done.stdout.split()
    assert len(found) == len(CARRIED)
    assert all(Path(path).is_relative_to(installed.home) for path in found), found


def test_the_page_is_in_it(installed: Installation) -> None:
    """Its files, BokehJS, and figures that Bokeh makes."""
    command = [installed.program.with_name("python"), "-c", PAGE]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=installed.home)
    assert "page.js" in done.stdout
    assert json.loads(done.stdout.splitlines()[-1]).keys() == {"pages", "bytes", "downtime", "ram"}


def test_the_unit_is_one(installed: Installation) -> None:
    done = subprocess.run(["systemd-analyze", "verify", installed.unit], capture_output=True, text=True, check=False)
    complaints = [line for line in done.stderr.splitlines() if "fakedirty" in line]
    assert (done.returncode, complaints) == (0, []), done.stderr


def test_the_service_has_all_the_rights_it_needs(installed: Installation, tmp_path: Path) -> None:
    """With exactly the capabilities of its unit it observes a migration, and tells its manager how it is."""
    [line] = [line for line in installed.unit.read_text().splitlines() if line.startswith("CapabilityBoundingSet=")]
    kept = "".join(f",+{name.removeprefix('CAP_').lower()}" for name in line.partition("=")[2].split())
    configuration = tmp_path / "fakedirty.toml"
    text = installed.configuration.read_text()
    text = text.replace("/run/fakedirty/control", str(tmp_path / "control")).replace("127.0.0.1:9752", "127.0.0.1:0")
    configuration.write_text(text)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager, pair(qemu_binary(), tmp_path, name="web") as vm:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(PATIENCE_SECONDS)
        limited = ["setpriv", f"--bounding-set=-all{kept}", "--inh-caps=-all", "--no-new-privs", "--"]
        process = subprocess.Popen(
            [*limited, installed.program, "observe", "--all", "--config", configuration],
            env={**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "60000000"},
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            heard = [manager.recv(4096).decode()]
            assert heard[0].startswith("READY=1")
            assert process.stderr
            while f"attached: web pid {vm.source.pid}" not in (line := process.stderr.readline()):
                assert line, "it ended"
            vm.migrate(max_bandwidth=SLOW, downtime_limit=1, fake_dirty_mode="observe")
            vm.wait_for_syncs(2)
            ram = vm.converge()["ram"]
            out = installed.home / "state"
            wait(lambda: bool(list(out.glob("web/*/migration.json"))))
            process.terminate()
            process.communicate(timeout=PATIENCE_SECONDS)
            while heard[-1] != "STOPPING=1":
                heard.append(manager.recv(4096).decode())
        finally:
            process.kill()
            process.communicate()
    assert "WATCHDOG=1" in heard
    recording = load(out)
    # that the guest arrived is a migration of its destination's, seen in time or not
    sources = recording.migrations[recording.migrations["side"] == "source"]
    assert list(sources["level"]) == ["patched"]
    assert recording.migrations["valid"].all()
    assert recording.rounds["normal_pages"].sum() == ram["normal"]
