"""The composition: what its specification allows, the rights of the service, paths and ports that fit each other."""

from __future__ import annotations

import argparse
import ast
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from fakedirty import __version__
from fakedirty.cli.commands import observe, status
from fakedirty.service.config import read
from fakedirty.service.control import DEFAULT_SOCKET
from fakedirty.web.address import DEFAULT_HOST, DEFAULT_PORT, parse_address

ROOT = Path(__file__).parents[3]
COMPOSE = ROOT / "docker-compose.yml"
WITH_LIBVIRT = ROOT / "packaging/compose.libvirt.yml"
WITH_MEMLOCK = ROOT / "packaging/compose.memlock.yml"
SERVICES: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())["services"]
COLLECTOR = SERVICES["collector"]
DOCKERFILE = (ROOT / COLLECTOR["build"]["dockerfile"]).read_text().replace("\\\n", " ")
UNIT = (ROOT / "packaging/fakedirty.service").read_text()
CONFIGURATION = read(ROOT / "packaging/container.toml")

needs_compose = pytest.mark.skipif(
    shutil.which("docker-compose") is None, reason="docker-compose is not installed: apt-get install docker-compose"
)


def mounts(service: dict[str, Any]) -> dict[str, str]:
    """Sources by the paths they are mounted at; ``tmpfs`` and volumes too."""
    found = dict(reversed(mount.split(":")[:2]) for mount in service.get("volumes", ()))
    return found | {mount.split(":")[0]: "tmpfs" for mount in service.get("tmpfs", ())}


def instructions(word: str) -> list[str]:
    """What stands behind an instruction of the Dockerfile."""
    return re.findall(rf"^{word}\s+(.*)$", DOCKERFILE, re.M)


def accepted(*files: Path) -> subprocess.CompletedProcess[str]:
    """Debian's docker-compose, which has the schema of the specification, and asks no engine for this."""
    words = [word for file in files for word in ("-f", str(file))]
    return subprocess.run(["docker-compose", *words, "config"], capture_output=True, text=True, check=False)


@needs_compose
@pytest.mark.parametrize(
    "files",
    [(COMPOSE,), (COMPOSE, WITH_LIBVIRT), (COMPOSE, WITH_MEMLOCK), (COMPOSE, WITH_LIBVIRT, WITH_MEMLOCK)],
    ids=["alone", "with libvirt", "with locked memory", "with both"],
)
def test_the_specification_allows_it(files: tuple[Path, ...]) -> None:
    done = accepted(*files)
    assert done.returncode == 0, done.stderr
    assert set(yaml.safe_load(done.stdout)["services"]) == {"collector", "prometheus", "grafana"}


@needs_compose
@pytest.mark.parametrize(("right", "wrong"), [("cap_add:", "cap_ad:"), ("interval: 60s", "interval: soon")])
def test_the_specification_is_asked(right: str, wrong: str, tmp_path: Path) -> None:
    copy = tmp_path / "docker-compose.yml"
    assert right in COMPOSE.read_text()
    copy.write_text(COMPOSE.read_text().replace(right, wrong))
    assert accepted(copy).returncode != 0


def test_the_collector_has_the_rights_of_the_service_and_no_more() -> None:
    [line] = re.findall(r"^CapabilityBoundingSet=(.*)$", UNIT, re.M)
    rights = {name.removeprefix("CAP_") for name in line.split()}
    # the kernel's CAP_SYS_ADMIN includes those, and engines from before Linux 5.8 do not know their names
    assert "SYS_ADMIN" in rights
    assert sorted(COLLECTOR["cap_add"]) == sorted(rights - {"BPF", "PERFMON"})
    for service in SERVICES.values():
        assert service["cap_drop"] == ["ALL"]
        assert "no-new-privileges=true" in service["security_opt"]
        assert (service["network_mode"], service["userns_mode"]) == ("host", "host")
        assert not {"privileged", "devices", "ports", "user"} & set(service)
    assert "NoNewPrivileges=yes" in UNIT
    assert [name for name, service in SERVICES.items() if "pid" in service] == ["collector"]
    [patience] = re.findall(r"^TimeoutStopSec=(\d+)$", UNIT, re.M)
    assert COLLECTOR["stop_grace_period"] == f"{patience}s"


def test_no_limit_is_raised_unless_it_is_wished() -> None:
    """An engine that may not raise a limit starts no container that asks for it."""
    assert not [name for name, service in SERVICES.items() if "ulimits" in service]
    override = yaml.safe_load(WITH_MEMLOCK.read_text())
    assert override == {"services": {"collector": {"ulimits": {"memlock": -1}}}}


def test_every_capability_is_known_to_engine_20_10() -> None:
    """It knows those of Linux 5.4, the last of which is AUDIT_READ, and starts nothing that names another."""
    from_later = {"PERFMON", "BPF", "CHECKPOINT_RESTORE"}
    for service in SERVICES.values():
        assert not from_later & {name.removeprefix("CAP_") for name in service.get("cap_add", ())}


def test_what_is_written_is_on_a_volume() -> None:
    assert COLLECTOR["read_only"]
    inside = mounts(COLLECTOR)
    assert inside[CONFIGURATION.record.directory] == "recordings"
    assert CONFIGURATION.control.socket == str(DEFAULT_SOCKET)
    assert inside[str(DEFAULT_SOCKET.parent)] == "tmpfs"
    assert inside["/tmp"] == "tmpfs"
    [data] = [word.partition("=")[2] for word in SERVICES["prometheus"]["command"] if "storage.tsdb.path" in word]
    assert SERVICES["prometheus"]["read_only"]
    assert mounts(SERVICES["prometheus"])[data] == "prometheus"
    declared = yaml.safe_load(COMPOSE.read_text())["volumes"]
    named = {source for service in SERVICES.values() for source in mounts(service).values() if "/" not in source}
    assert set(declared) == named - {"tmpfs"}


def test_what_is_mounted_from_here_is_here_and_only_read() -> None:
    for service in SERVICES.values():
        for mount in service["volumes"]:
            source, _, mode = mount.split(":") if mount.count(":") == 2 else (*mount.split(":"), "")
            if "/" in source:
                assert source.startswith("./")
                assert (ROOT / source).exists(), source
                assert mode == "ro"


def test_with_libvirt_there_is_its_socket_and_nothing_else() -> None:
    place = "/run/libvirt"
    # where libvirt is not, nothing is put in its place
    bound = {"type": "bind", "source": place, "target": place}
    assert yaml.safe_load(WITH_LIBVIRT.read_text()) == {"services": {"collector": {"volumes": [bound]}}}


def test_every_address_is_of_this_host_alone_and_known_to_who_asks() -> None:
    assert parse_address(CONFIGURATION.metrics.listen) == (DEFAULT_HOST, DEFAULT_PORT)
    (scrape,) = yaml.safe_load((ROOT / "dashboards/prometheus/prometheus.yml").read_text())["scrape_configs"]
    assert scrape["static_configs"] == [{"targets": [CONFIGURATION.metrics.listen]}]
    prometheus = SERVICES["prometheus"]
    [listen] = [word.partition("=")[2] for word in prometheus["command"] if "listen-address" in word]
    assert parse_address(listen)[0] == DEFAULT_HOST
    assert f"http://{listen}" in prometheus["healthcheck"]["test"]
    grafana = SERVICES["grafana"]["environment"]
    assert grafana["GF_SERVER_HTTP_ADDR"] == DEFAULT_HOST
    ports = [DEFAULT_PORT, parse_address(listen)[1], int(grafana["GF_SERVER_HTTP_PORT"])]
    assert len(set(ports)) == len(ports)
    head = COMPOSE.read_text().partition("services:")[0]
    assert all(str(port) in head for port in ports)


def test_prometheus_has_its_configuration_and_rules_in_one_directory() -> None:
    inside = mounts(SERVICES["prometheus"])
    [file] = [word.partition("=")[2] for word in SERVICES["prometheus"]["command"] if "config.file" in word]
    here = ROOT / inside[str(Path(file).parent)]
    configured = yaml.safe_load((here / Path(file).name).read_text())
    for pattern in configured["rule_files"]:
        assert not pattern.startswith("/")
        assert list(here.glob(pattern))


def test_images_are_named_by_their_versions() -> None:
    for service in SERVICES.values():
        assert re.search(r":v?\d+\.\d+\.\d+$", service["image"])
    assert COLLECTOR["image"].endswith(f":{__version__}")


def test_every_service_comes_back_and_is_looked_at() -> None:
    for service in SERVICES.values():
        assert service["restart"] == "unless-stopped"
    for name in ("collector", "prometheus"):
        assert SERVICES[name]["healthcheck"]["test"][0] == "CMD"
    _, program, *words = COLLECTOR["healthcheck"]["test"]
    assert [program] == ast.literal_eval(instructions("ENTRYPOINT")[0])
    assert words == [status.NAME]


def test_the_image_does_what_the_unit_does() -> None:
    [command] = [ast.literal_eval(words) for words in instructions("CMD")]
    [started] = re.findall(r"^ExecStart=\S+ (.*)$", UNIT, re.M)
    assert " ".join(command).replace("/etc", "@SYSCONFDIR@") == started
    parser = argparse.ArgumentParser()
    observe.add_arguments(parser)
    arguments = parser.parse_args(command[1:])
    assert command[0] == observe.NAME
    assert str(arguments.config) in mounts(COLLECTOR)


def test_the_image_is_of_debian_12_and_has_what_observing_needs() -> None:
    [argument] = instructions("ARG")
    assert re.fullmatch(r"BASE=\S+/debian:12(-\w+)?", argument)
    assert all(base.startswith("${BASE}") for base in instructions("FROM"))
    building, _, running = instructions("RUN")
    wanted = re.search(r"^PACKAGES := ((?:.*\\\n)*.*)$", (ROOT / "Makefile").read_text(), re.M)
    assert wanted
    needed = set(wanted[1].split())
    assert {"python3-bpfcc", "iproute2"} <= set(running.split()) & needed
    # the package of headers depends on a compiler, so they alone are copied
    assert "linux-headers-cloud-amd64" in set(building.split()) & needed - set(running.split())
    assert "--from=installed /usr/src /usr/src" in instructions("COPY")


def test_what_the_wheel_is_made_of_is_in_the_context_and_nothing_else() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    taken = {line[1:] for line in lines if line.startswith("!")}
    assert lines[0] == "*"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    [carried] = re.findall(r"^CARRIED = (.*)$", (ROOT / "setup.py").read_text(), re.M)
    made_of = {project["project"]["readme"], *project["project"]["license-files"], *ast.literal_eval(carried)}
    made_of |= {*project["tool"]["setuptools"]["package-dir"].values(), "pyproject.toml", "setup.py"}
    assert taken == made_of
    assert all((ROOT / name).exists() for name in taken)
