"""docker-compose.yml on Debian's engines: built from a bare Debian 12, started, used while guests migrate, ended.

Compose 1.29 runs it on Debian 12's engine, compose 2 on Debian 13's. Of images that are on no mirror of Debian's,
Prometheus' is made of Debian's package under the same name. Grafana has no package: what stands under its name is its
user, which reads and writes where Grafana would, and nothing of Grafana is tested by it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml
from composed import (
    BASE,
    COMPOSE,
    PROJECT,
    ROOT,
    SERVICES,
    Composition,
    base,
    built_on,
    composition_on,
    requirements,
    served,
)
from engines import KINDS, Engine, Kind, engine
from fakedirty import __version__
from fakedirty.lab.qemu import qemu_binary, stock_binary
from fakedirty.record.load import load
from left import bpf_programs, interfaces, of_engine, shared
from migrating import SLOW, wait
from recorded import check_prometheus_has_it
from scraping import values, wait_for
from test_host import guests
from test_observe_elsewhere import CONTAINER
from test_service import mode_of

pytestmark = [
    pytest.mark.timeout(3600),  # packages come from elsewhere
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: for the engine, and for BPF"),
    *(
        pytest.mark.skipif(shutil.which(program) is None, reason=f"not installed: apt-get install {package}")
        for program, package in (
            ("dockerd", "docker.io"),
            ("docker-compose", "docker-compose"),
            ("debootstrap", "debootstrap"),
        )
    ),
]

COLLECTOR = SERVICES["collector"]
WITH_LIBVIRT = ROOT / "packaging/compose.libvirt.yml"
WITH_MEMLOCK = ROOT / "packaging/compose.memlock.yml"
PROMETHEUS = "127.0.0.1:9753"
PORTS = (9752, 9753)
WEB, DB, FAR = (f"composed-{name}" for name in ("web", "db", "far"))  # others of the host have other names

# names of programs
BUILDING = ("gcc", "cc", "c++", "clang", "ld", "as", "make", "ninja", "git", "pip")
# of the package, below where it is installed
CARRIED = (
    "probes/stock/pages.c",
    "probes/events.h",
    "guests/workingset.c",
    "guests/linux/init",
    "qemu-patches/build.sh",
)
# what Debian's packages and the collector are installed to, and what the engine makes of its own
FILLED = {"usr", "etc", "var", "opt", "bin", "sbin", "lib", "lib64", "dev", "proc", "sys", "run", ".dockerenv"}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A bare Debian, and where wheels are served."""
    directory = tmp_path_factory.mktemp("sources")
    with served(requirements(directory)) as address:
        yield base(directory), address
    shutil.rmtree(directory)


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: kind.release)
def composed(
    request: pytest.FixtureRequest, sources: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Composition]:
    """The composition on an engine, built; when the engine has ended, nothing is left."""
    kind: Kind = request.param
    before = shared()
    with engine(kind) as it:
        print(it.docker("version", "--format", "engine {{.Server.Version}}"))
        built = built_on(it, *sources, tmp_path_factory.mktemp(kind.release))
        print(built.compose("version", "--short"))
        yield built
        built.compose("down", "--volumes")
        assert not it.docker("volume", "ls", "--quiet")
    assert of_engine(it) == []
    assert shared() == before


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.release)
def test_an_engine_that_maps_user_ids_takes_it(kind: Kind, sources: tuple[Path, str], tmp_path: Path) -> None:
    """The engine checks whether what a container shares with the host goes together when it makes the container."""
    with engine(kind, mapped=True) as it:
        it.import_image(sources[0], BASE)
        for service in SERVICES.values():
            it.docker("tag", BASE, service["image"])
        assert "name=userns" in it.docker("info", "--format", "{{.SecurityOptions}}")
        own = it.run("docker", "create", "--network", "host", BASE, "true")
        assert "user namespaces" in own.stderr, own
        made = composition_on(it, tmp_path)
        made.compose("up", "--no-start", "--no-build")
        assert {made.state(name)["Status"] for name in SERVICES} == {"created"}
        made.compose("down", "--volumes")
    assert of_engine(it) == []


def test_compose_reads_every_file_of_it(composed: Composition) -> None:
    version = composed.compose("version", "--short").strip().removeprefix("v")
    assert version.partition(".")[0] == {"bookworm": "1", "trixie": "2"}[composed.engine.kind.release]
    done = composed.run("config", also=(WITH_LIBVIRT, WITH_MEMLOCK))
    assert done.returncode == 0, done.stderr
    read = yaml.safe_load(done.stdout)["services"]
    assert set(read) == set(SERVICES)
    assert {mount["target"]: mount["source"] for mount in read["collector"]["volumes"] if isinstance(mount, dict)}[
        "/run/libvirt"
    ] == "/run/libvirt"
    assert str(read["collector"]["ulimits"]["memlock"]) == "-1"
    # what it does not know it does not pass over
    wrong = composed.directory / "compose.wrong.yml"
    wrong.write_text(yaml.safe_dump({"services": {"collector": {"cap_ad": ["SYS_ADMIN"]}}}))
    assert composed.run("config", also=(wrong,)).returncode != 0


def test_the_image_says_what_it_is(composed: Composition) -> None:
    inspected = json.loads(composed.engine.docker("image", "inspect", COLLECTOR["image"]))[0]
    print(f"the image takes {inspected['Size'] / 1e9:.2f} GB")
    configuration = inspected["Config"]
    assert (configuration["Entrypoint"], configuration["StopSignal"]) == (["fakedirty"], "SIGTERM")
    inside = ("run", "--rm", "--no-deps", "-T")
    version = composed.run(*inside, "collector", "--version")
    assert version.stdout == f"fakedirty {__version__}\n", version.stderr
    imports = "import bcc, libvirt, libvirt_qemu, qemu.qmp"
    imported = composed.run(*inside, "--entrypoint", "python3", "collector", "-c", imports)
    assert imported.returncode == 0, imported.stderr
    written = composed.run(*inside, "--entrypoint", "touch", "collector", "/anywhere")
    assert written.returncode != 0
    assert "Read-only" in written.stderr


def test_the_image_has_what_observing_needs_and_nothing_of_whoever_built_it(composed: Composition) -> None:
    files = paths(composed.engine, COLLECTOR["image"])
    [package] = {
        name for name in files if re.fullmatch(r"opt/fakedirty/lib/python3[^/]*/site-packages/fakedirty", name)
    }
    assert {f"{package}/{name}" for name in CARRIED} <= set(files)
    assert [name for name in files if re.fullmatch(r"usr/src/linux-headers-[^/]*/include/generated/autoconf.h", name)]
    places = ("opt/fakedirty/bin", "usr/local/bin", "usr/bin", "usr/sbin")
    programs = {name.rpartition("/")[2] for name in files if name.rpartition("/")[0] in places}
    assert {"fakedirty", "ss", "xz"} <= programs
    assert not [name for name in programs if re.sub(r"^x86_64-linux-gnu-|-?[\d.]+$", "", name) in BUILDING]
    assert not [
        name for name in files if re.search(r"^var/cache/apt/archives/.*\.deb$|^var/lib/apt/lists/.*Packages", name)
    ]

    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    ours = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    ours = {name.removeprefix("collector/fakedirty/") for name in ours}
    theirs = {name.removeprefix(f"{package}/") for name in files if name.startswith(f"{package}/") and files[name]}
    assert {name for name in theirs if "__pycache__" not in name} <= ours
    assert {name.split("/")[1] for name in files if name.startswith("opt/")} == {"fakedirty"}
    assert elsewhere(files) == elsewhere(paths(composed.engine, BASE))


def paths(it: Engine, image: str) -> dict[str, bool]:
    """Those of an image, and whether each is something else than a directory."""
    container = it.docker("create", image, "true")
    try:
        with subprocess.Popen(it.command("docker", "export", container), stdout=subprocess.PIPE) as exported:
            listed = subprocess.run(["tar", "-t"], stdin=exported.stdout, capture_output=True, text=True, check=True)
    finally:
        it.docker("rm", container)
    names = listed.stdout.splitlines()
    return {name.removeprefix("./").rstrip("/"): not name.endswith("/") for name in names if name != "./"}


def elsewhere(files: dict[str, bool]) -> set[str]:
    """Files where no package puts any."""
    return {
        name
        for name, is_file in files.items()
        if is_file and (name.startswith("usr/local/") or name.partition("/")[0] not in FILLED)
    }


def test_libvirts_place_is_not_taken(composed: Composition, tmp_path: Path) -> None:
    """Where libvirt is not, the engine does not make its directory."""
    absent = tmp_path / "libvirt"
    override = tmp_path / "compose.libvirt.yml"
    override.write_text(WITH_LIBVIRT.read_text().replace("source: /run/libvirt", f"source: {absent}"))
    assert str(absent) in override.read_text()
    words = ("run", "--rm", "--no-deps", "-T", "--entrypoint", "ls", "collector", "/run/libvirt")
    refused = composed.run(*words, also=(override,))
    assert refused.returncode != 0
    assert str(absent) in refused.stderr
    assert not absent.exists()
    absent.mkdir()
    (absent / "libvirt-sock").touch()
    mounted = composed.run(*words, also=(override,))
    assert mounted.stdout == "libvirt-sock\n", mounted.stderr


def test_locked_memory_is_raised_where_the_engine_may(composed: Composition) -> None:
    words = ("run", "--rm", "--no-deps", "-T", "--entrypoint", "sh", "collector", "-c", "ulimit -l")
    raised = composed.run(*words, also=(WITH_MEMLOCK,))
    if effective(24):  # CAP_SYS_RESOURCE
        assert raised.stdout == "unlimited\n", raised.stderr
    else:
        assert raised.returncode != 0
        assert re.search("rlimit", raised.stderr), raised.stderr
    assert composed.run(*words).returncode == 0


def effective(capability: int) -> bool:
    """Whether this process has it."""
    [bits] = re.findall(r"^CapEff:\s+(\w+)$", Path("/proc/self/status").read_text(), re.M)
    return bool(int(bits, 16) >> capability & 1)


def test_it_observes_migrations_of_the_host(composed: Composition, tmp_path: Path) -> None:
    taken = [port for port in PORTS if listens(port)]
    assert not taken, f"ports of docker-compose.yml are in use on this machine: {taken}"
    programs, links = bpf_programs(), interfaces()
    health = COLLECTOR["healthcheck"]["test"][1:]
    before = composed.run("run", "--rm", "--no-deps", "-T", "collector", *health[1:])
    assert before.returncode == 1, before.stderr  # nobody answers yet
    elsewhere_qemu = tmp_path / "qemu-system-x86_64"
    elsewhere_qemu.write_text(CONTAINER.format(qemu=qemu_binary()))
    elsewhere_qemu.chmod(0o755)
    with (
        guests(tmp_path, **{WEB: qemu_binary(), DB: stock_binary(), FAR: elsewhere_qemu}) as vms,
        ExitStack() as stack,
    ):
        stack.callback(composed.run, "down", "--volumes")
        composed.compose("up", "--detach")
        wait_for_vms(composed, *vms)
        report = json.loads(composed.inside("fakedirty", "doctor", "--json").stdout)
        assert (report["missing_capabilities"], report["headers_problem"]) == ({}, "")
        levels = {each["vm"]: each["level"] for each in report["targets"] if each["vm"] in vms}
        assert levels == {WEB: "patched", DB: "stock", FAR: "patched"}

        for name, vm in vms.items():
            mode = {} if name == DB else {"fake_dirty_mode": "observe"}
            vm.migrate(max_bandwidth=SLOW, downtime_limit=1, **mode)
        for vm in vms.values():
            vm.wait_for_syncs(3)
        for name in (WEB, FAR):
            toggled = composed.inside("fakedirty", "mode", "skip", "--vm", name)
            assert toggled.returncode == 0, toggled.stderr
            assert mode_of(vms[name]) == "skip"
            vms[name].wait_for_syncs(5)
        sent = {name: vm.converge()["ram"]["normal"] for name, vm in vms.items()}
        recordings = composed.volume("recordings")
        wait(lambda: {path.parts[-3] for path in recordings.glob("*/*/migration.json")} >= set(vms))

        for name in ("collector", "prometheus"):
            # the first look is after the interval
            wait(lambda name=name: composed.state(name)["Health"]["Status"] != "starting")  # type: ignore[misc]
            health_of_it = composed.state(name)["Health"]
            assert health_of_it["Status"] == "healthy", health_of_it
        assert composed.state("grafana")["Running"], composed.compose("logs", "grafana")
        assert (composed.volume("grafana") / "written").exists()

        recording = load(recordings)
        ours = f'fakedirty_migrations_total{{vm=~"{"|".join(vms)}"}}'
        wait_for(lambda: len(values(PROMETHEUS, ours)) == len(vms))
        compared = {name: check_prometheus_has_it(PROMETHEUS, recording, name) for name in vms}
        print(f"numbers that Prometheus has as they were recorded: {compared}")
        assert min(compared.values()) > 20

        check_its_end(composed, vms[WEB])
        wait(lambda: bpf_programs() <= programs)
        assert interfaces() == links

    # others of this host may migrate meanwhile
    migrations = recording.migrations[recording.migrations["vm"].isin(list(vms))]
    assert set(migrations["outcome"]) == {"completed"}
    assert migrations["valid"].all()
    assert dict(zip(migrations["vm"], migrations["level"], strict=True)) == levels
    for name, normal in sent.items():
        rounds = recording.rounds[recording.rounds["vm"] == name]
        assert rounds["normal_pages"].sum() == normal
        assert rounds["fake_pages"].sum() > 0
        print(f"{name}: {len(rounds)} rounds at level {levels[name]}, {normal} normal pages, as QEMU counts them")
    assert recording.rounds["skipped_pages"].sum() > 0


def check_its_end(composed: Composition, vm: Any) -> None:
    """What was set for a time is put back, every service ends by itself, and of all only volumes stay."""
    kept = mode_of(vm)
    for mode in ("off", "observe", "skip"):
        if mode != kept:
            break
    put_back = composed.inside("fakedirty", "mode", mode, "--vm", WEB, "--revert-after", "600")
    assert put_back.returncode == 0, put_back.stderr
    assert mode_of(vm) == mode
    recordings = composed.volume("recordings")
    composed.compose("stop")
    assert mode_of(vm) == kept
    others = {path.name for path in recordings.iterdir()} - {WEB, DB, FAR}
    for name in SERVICES:
        state = composed.state(name)
        if name == "collector" and others and state["ExitCode"] == 3:
            continue  # what it saw of others of this host is not all valid: it may have joined late
        # 137 would be the engine's SIGKILL, after the time of grace
        assert (state["Status"], state["ExitCode"], state["OOMKilled"]) == ("exited", 0, False), name
    composed.compose("down")
    it = composed.engine
    assert not it.docker("ps", "--all", "--quiet")
    assert it.docker("network", "ls", "--format", "{{.Driver}}").split() == ["host", "null"]
    assert not [port for port in PORTS if listens(port)]
    assert list(recordings.glob("*/*/migration.json"))
    assert set(it.docker("volume", "ls", "--quiet").split()) == {
        f"{PROJECT}_{name}" for name in yaml.safe_load(COMPOSE.read_text())["volumes"]
    }


def wait_for_vms(composed: Composition, *names: str) -> None:
    """Until the collector observes them."""
    answer: subprocess.CompletedProcess[str] | None = None

    def observed() -> bool:
        nonlocal answer
        assert composed.state("collector")["RestartCount"] == 0, composed.compose("logs", "collector")
        answer = composed.inside("fakedirty", "status", "--json")
        return answer.returncode == 0 and set(names) <= {vm["vm"] for vm in json.loads(answer.stdout)["vms"]}

    try:
        wait(observed)
    except AssertionError as error:
        raise AssertionError(f"{answer}\n{composed.run('logs', '--tail', '50', 'collector')}") from error


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
