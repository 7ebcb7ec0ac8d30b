"""The collector's image: built from a bare Debian 12 as docker-compose.yml builds it, and its command at work."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from fakedirty import __version__
from fakedirty.lab.qemu import qemu_binary, stock_binary
from fakedirty.record.load import load
from images import Container, Store, store
from migrating import SLOW, wait
from serving import Service
from test_host import guests

pytestmark = [
    pytest.mark.timeout(1800),  # packages come from elsewhere
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: for buildah's chroot isolation, and for BPF"),
    *(
        pytest.mark.skipif(shutil.which(name) is None, reason=f"{name} is not installed: apt-get install {name}")
        for name in ("buildah", "debootstrap")
    ),
]

ROOT = Path(__file__).parents[2]
COLLECTOR = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["collector"]
CONFIGURATION = "/etc/fakedirty.toml"
RECORDINGS = "/var/lib/fakedirty"
CONTROL = "/run/fakedirty"

# names of programs
BUILDING = ("gcc", "cc", "c++", "clang", "ld", "as", "make", "ninja", "git", "pip")
# of the package, below where it is installed
CARRIED = ("probes/patched.c", "probes/events.h", "guests/workingset.c", "guests/linux/init", "qemu-patches/build.sh")
# what Debian's packages and the collector are installed to, and what buildah makes of its own
FILLED = {"usr", "etc", "var", "opt", "bin", "sbin", "lib", "lib64", "dev", "proc", "sys", "run"}


@dataclass(frozen=True)
class Built:
    """The image, and its base."""

    store: Store
    base: str
    image: str


@pytest.fixture(scope="module")
def built() -> Iterator[Built]:
    with store(COLLECTOR["cap_add"]) as kept:
        base = kept.base()
        print("the base is there")
        image = kept.build(base, ROOT / COLLECTOR["build"]["dockerfile"], ROOT / COLLECTOR["build"]["context"])
        size = json.loads(kept.buildah("images", "--json", image))[0]["size"]
        print(f"the image is built: {size}")
        yield Built(kept, base, image)


def test_it_says_what_it_is(built: Built) -> None:
    configuration = built.store.configuration(built.image)
    assert (configuration["Entrypoint"], configuration["StopSignal"]) == (["fakedirty"], "SIGTERM")
    inside = built.store.container(built.image, {})
    version = inside.run("fakedirty", "--version")
    assert version.stdout == f"fakedirty {__version__}\n", version.stderr
    imported = inside.run("python3", "-c", "import bcc, libvirt, libvirt_qemu, qemu.qmp")
    assert imported.returncode == 0, imported.stderr
    assert inside.run("touch", "/anywhere").returncode != 0


def test_it_has_what_observing_needs_and_nothing_of_whoever_built_it(built: Built) -> None:
    files = built.store.files(built.image)
    [package] = files.glob("opt/fakedirty/lib/python3*/site-packages/fakedirty")
    assert all((package / name).exists() for name in CARRIED)
    assert list(files.glob("usr/src/linux-headers-*/include/generated/autoconf.h"))
    places = ("opt/fakedirty/bin", "usr/local/bin", "usr/bin", "usr/sbin")
    programs = {path.name for place in places for path in (files / place).iterdir()}
    assert {"fakedirty", "ss", "xz"} <= programs
    assert not [name for name in programs if re.sub(r"^x86_64-linux-gnu-|-?[\d.]+$", "", name) in BUILDING]
    assert not list(files.glob("var/cache/apt/archives/*.deb"))
    assert not list(files.glob("var/lib/apt/lists/*Packages*"))

    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    ours = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    ours = {name.removeprefix("collector/fakedirty/") for name in ours}
    theirs = {str(path.relative_to(package)) for path in package.rglob("*") if path.is_file()}
    assert {name for name in theirs if "__pycache__" not in name} <= ours
    assert [path.name for path in (files / "opt").iterdir()] == ["fakedirty"]
    assert _elsewhere(files) == _elsewhere(built.store.files(built.base))


def _elsewhere(files: Path) -> set[str]:
    """Files where no package puts any."""
    tops = [files / "usr/local", *(path for path in files.iterdir() if path.name not in FILLED)]
    found = [path for top in tops for path in [top, *top.rglob("*")]]
    return {str(path.relative_to(files)) for path in found if not path.is_dir()}


@contextmanager
def collecting(container: Container, command: list[str]) -> Iterator[Service]:
    """The service of an image, once it answers; its control socket and recordings are the host's."""
    process = container.start(*command)
    it = Service(container.mounts[CONTROL], process, os.environ)
    try:
        wait(lambda: "metrics: " in it.log or process.poll() is not None)
        assert process.poll() is None, it.log
        yield it
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        it.kill()


def test_its_command_observes_migrations_of_the_host(built: Built, tmp_path: Path) -> None:
    """As in docker-compose.yml, but that the port of the metrics is a free one."""
    settings = tmp_path / "fakedirty.toml"
    text = (ROOT / "packaging/container.toml").read_text()
    settings.write_text(text.replace('"127.0.0.1:9752"', '"127.0.0.1:0"'))
    assert settings.read_text() != text
    control = tmp_path / "control-of-it"
    (control / "out").mkdir(parents=True)
    mounts = {CONFIGURATION: settings, CONTROL: control, RECORDINGS: control / "out"}
    inside = built.store.container(built.image, mounts)
    health = COLLECTOR["healthcheck"]["test"][1:]
    assert inside.run(*health).returncode == 1  # nobody answers yet

    with guests(tmp_path, web=qemu_binary(), db=stock_binary()) as vms:
        pids = {name: vm.source.pid for name, vm in vms.items()}
        report = json.loads(inside.run("fakedirty", "doctor", "--json").stdout)
        assert (report["missing_capabilities"], report["headers_problem"]) == ({}, "")
        levels = {each["vm"]: each["level"] for each in report["targets"] if each["pid"] in pids.values()}
        assert levels == {"web": "patched", "db": "stock"}
        print(f"doctor: headers {report['headers']}, levels {levels}")

        configuration = built.store.configuration(built.image)
        with collecting(inside, configuration["Entrypoint"] + configuration["Cmd"]) as daemon:
            daemon.wait_for(*pids.values())
            vms["web"].migrate(max_bandwidth=SLOW, downtime_limit=1, fake_dirty_mode="observe")
            vms["db"].migrate(max_bandwidth=SLOW, downtime_limit=1)
            for vm in vms.values():
                vm.wait_for_syncs(3)
            assert inside.run(*health).returncode == 0
            toggled = inside.run("fakedirty", "mode", "skip", "--vm", "web")
            assert toggled.returncode == 0, toggled.stderr
            vms["web"].wait_for_syncs(5)
            sent = {name: vm.converge()["ram"]["normal"] for name, vm in vms.items()}
            for name in vms:
                daemon.wait_for_recordings(name)
            with urllib.request.urlopen(daemon.metrics) as answer:
                assert b'fakedirty_migrations_total{vm="web"' in answer.read()
            told = json.loads(inside.run("fakedirty", "status", "--json").stdout)
            os.kill(told["pid"], signal.SIGTERM)
            assert daemon.process.wait(timeout=60) == 0, daemon.log
    recording = load(control / "out")
    own = recording.migrations[recording.migrations["vm"].isin(pids)]
    assert dict(zip(own["vm"], own["level"], strict=True)) == levels
    assert own["valid"].all()
    assert set(own["outcome"]) == {"completed"}
    for name, normal in sent.items():
        rounds = recording.rounds[recording.rounds["vm"] == name]
        assert rounds["normal_pages"].sum() == normal
        assert rounds["fake_pages"].sum() > 0
        print(f"{name}: {len(rounds)} rounds at level {levels[name]}, {normal} normal pages, as QEMU counts them")
    assert recording.rounds["skipped_pages"].sum() > 0
