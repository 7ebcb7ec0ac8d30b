"""The composition on an engine: its images, made of Debian's packages alone, and its services as a project."""

from __future__ import annotations

import functools
import http.server
import json
import subprocess
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from engines import Engine
from mirrors import DEBIAN, bootstrap, settings, wheels

ROOT = Path(__file__).parents[3]
COMPOSE = ROOT / "docker-compose.yml"
SERVICES: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())["services"]
BASE = "docker.io/library/debian:12-slim"
PROJECT = "fakedirty-test"

# pip in the image installs what the test serves
PIP = """\
[global]
no-index = true
find-links = http://{address}/
trusted-host = {address}
"""

# Debian's package as the image of that name has it: who runs it, its paths, its volume
PROMETHEUS = f"""\
FROM {BASE}
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends prometheus \\
    && mkdir -p /prometheus && chown nobody:nogroup /prometheus
USER nobody
VOLUME /prometheus
WORKDIR /prometheus
ENTRYPOINT ["/bin/prometheus"]
CMD ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"]
"""

# not Grafana: its user, which reads what Grafana would read, and writes where it would write
READS_AND_WRITES = """\
set -e
test -r /etc/grafana/provisioning/datasources/prometheus.yml
test "$(find /etc/grafana /var/lib/grafana/dashboards ! -readable | wc -l)" = 0
test -r "$GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"
touch /var/lib/grafana/written
echo "stands for Grafana"
trap "exit 0" TERM
while :; do sleep 1 & wait; done
"""
GRAFANA = f"""\
FROM {BASE}
RUN mkdir -p /var/lib/grafana && chown 472:0 /var/lib/grafana
USER 472
ENTRYPOINT ["/bin/sh", "/stand-in"]
COPY stand-in /stand-in
"""


def base(directory: Path) -> Path:
    """The root of a bare Debian 12 that gets packages where this machine does, and starts no services."""
    root = directory / "base"
    root.mkdir()
    bootstrap(DEBIAN, root)
    settings(root)
    denied = root / "usr/sbin/policy-rc.d"
    denied.write_text("#!/bin/sh\nexit 101\n")
    denied.chmod(0o755)
    return root


@contextmanager
def served(directory: Path) -> Iterator[str]:
    """The address at which the files of a directory are, for this machine alone."""
    handler = functools.partial(Quiet, directory=str(directory))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A request is no line of a test's output."""

    def log_message(self, *_: object) -> None:
        pass


def requirements(directory: Path) -> Path:
    """A directory of wheels: what the project is built with, and what it needs."""
    found = directory / "wheels"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheels(found, [*project["build-system"]["requires"], *project["project"]["dependencies"]])
    return found


@dataclass(frozen=True)
class Composition:
    """docker-compose.yml on an engine, which gets images built in the host's network."""

    engine: Engine
    directory: Path

    def command(self, *words: str | Path, also: tuple[Path, ...] = ()) -> list[str | Path]:
        files = (COMPOSE, *also, self.directory / "compose.network.yml")
        named = [word for file in files for word in ("-f", file)]
        return self.engine.command(
            *self.engine.kind.compose, "--project-directory", ROOT, "--project-name", PROJECT, *named, *words
        )

    def run(self, *words: str | Path, also: tuple[Path, ...] = ()) -> subprocess.CompletedProcess[str]:
        """What a command of compose comes to."""
        command = self.command(*words, also=also)
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)

    def compose(self, *words: str | Path) -> str:
        """What compose answers to a command that succeeds."""
        done = self.run(*words)
        assert done.returncode == 0, f"{done.stdout}{done.stderr}"
        return done.stdout

    def inside(self, *words: str) -> subprocess.CompletedProcess[str]:
        """What a command in the collector's container comes to."""
        return self.run("exec", "-T", "collector", *words)

    def state(self, service: str) -> dict[str, Any]:
        """What the engine knows of a service's container now."""
        [container] = self.compose("ps", "--all", "--quiet", service).split()
        [found] = json.loads(self.engine.docker("inspect", container))
        return {**found["State"], "RestartCount": found["RestartCount"]}

    def volume(self, name: str) -> Path:
        """Where its files are on this machine."""
        return Path(self.engine.docker("volume", "inspect", "--format", "{{.Mountpoint}}", f"{PROJECT}_{name}"))


def built_on(engine: Engine, root: Path, wheels_at: str, directory: Path) -> Composition:
    """Its images, with those that cannot be had replaced under their names."""
    (root / "etc/pip.conf").write_text(PIP.format(address=wheels_at))
    engine.import_image(root, BASE)
    for name, dockerfile in (("prometheus", PROMETHEUS), ("grafana", GRAFANA)):
        context = directory / name
        context.mkdir()
        (context / "Dockerfile").write_text(dockerfile)
        (context / "stand-in").write_text(READS_AND_WRITES)
        engine.docker("build", "--network", "host", "--tag", SERVICES[name]["image"], context)
    it = composition_on(engine, directory)
    it.compose("build", "collector")
    return it


def composition_on(engine: Engine, directory: Path) -> Composition:
    """It, with no image yet."""
    network = {"services": {"collector": {"build": {"network": "host"}}}}
    (directory / "compose.network.yml").write_text(yaml.safe_dump(network))
    return Composition(engine, directory)
