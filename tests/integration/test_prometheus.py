"""Debian's Prometheus scrapes the real exporter: every query of every dashboard runs there and returns data."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from certificates import certificate, needs_openssl, web_config
from dashboard_queries import DASHBOARDS, Query, chosen, queries
from fakedirty.export.exporter import Exporter
from fakedirty.export.host import AttachedCounts
from fakedirty.export.routes import metrics_routes
from fakedirty.lab.guests.recipes import build_guest
from fakedirty.lab.guests.workload import Workload
from fakedirty.lab.machine import INCOMING, machine
from fakedirty.lab.migrate import Settings, Step, migrate
from fakedirty.lab.network import shaped_network
from fakedirty.lab.qemu import qemu_binary
from fakedirty.model.enums import Mode
from fakedirty.model.events import LimitsRead, RoundEnded
from fakedirty.qmp.client import Qmp
from fakedirty.qmp.mode import set_mode
from fakedirty.record.load import load
from fakedirty.web.server import serve
from made_migrations import EVENTS, SECOND, START, again, made, tell
from made_switchover import DESTINATION, SOURCE
from observing import observe
from scraping import PATIENCE, ask, fetch, prometheus, values, wait_for

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: for BPF and network namespaces"),
    pytest.mark.skipif(
        shutil.which("prometheus") is None, reason="prometheus is not installed: apt-get install prometheus"
    ),
]

ROOT = Path(__file__).parents[2]
GENEROUS = 2_000  # milliseconds
PREDICTED = "fakedirty_verdict_(total_time|downtime)_seconds"  # only while a verdict sees an end
RECOMMENDED = "fakedirty_recommended_"
VCPUS = "fakedirty_vcpu_dirty_rate_"  # QEMU measures it with the capability dirty-limit alone
NAME = "we\"b/münchen <b>&'a'</b>"


def check_metrics(url: str) -> None:
    """``promtool check metrics`` accepts it, and its linter says nothing."""
    check = subprocess.run(["promtool", "check", "metrics"], input=fetch(url), capture_output=True, check=False)
    assert (check.returncode, check.stdout, check.stderr) == (0, b"", b"")


def scraped(address: str) -> None:
    """Once more."""
    now = time.time()
    wait_for(lambda: float((values(address, "timestamp(fakedirty_build_info)") or ["0"])[0]) > now)


def check_dashboards(address: str, vm: str, since: float, *, absent: str = RECOMMENDED) -> None:
    """Every query of every panel, annotation and variable returns data for `vm`, and the rules do.

    Of the metrics that `absent` matches there is nothing: nothing is recommended where a verdict sees an end.
    """
    check_rules(address, vm)
    everything = [
        query
        for dashboard in DASHBOARDS.values()
        for query in queries(dashboard)
        if not re.search(absent, query.expression)
    ]
    scraped(address)
    deadline = time.monotonic() + PATIENCE
    empty = everything
    while empty := [query for query in empty if not found(address, query, vm, since)]:
        assert time.monotonic() < deadline, [f"{query.where}: {query.expression}" for query in empty]
        time.sleep(0.2)
    for query in everything:
        if query.label == "vm":
            assert found(address, query, vm, since) == [vm]


def found(address: str, query: Query, vm: str, since: float) -> list[Any]:
    """What Prometheus has."""
    expression = chosen(query.expression, vm)
    if query.label:
        selector = {"match[]": expression, "start": since, "end": time.time()}
        answer: list[Any] = ask(address, f"label/{query.label}/values", **selector)
    elif query.over_time or "fakedirty_verdict" in expression:  # it may have gone by the end
        answer = ask(address, "query_range", query=expression, start=since, end=time.time(), step=0.2)["result"]
    else:
        answer = ask(address, "query", query=expression)["result"]
    return answer


def check_rules(address: str, vm: str) -> None:
    """All are loaded and can be evaluated, and record something of `vm`."""

    def loaded() -> list[dict[str, Any]]:
        groups = ask(address, "rules")["groups"]
        found = [rule for group in groups for rule in group["rules"]]
        return found if all(rule["health"] != "unknown" for rule in found) else []

    rules = wait_for(loaded)
    assert {rule["health"] for rule in rules} == {"ok"}, rules
    assert {rule["type"] for rule in rules} == {"recording", "alerting"}
    series = chosen("instance_vm_class:fakedirty_pages:increase5m{vm=${vm:doublequote}}", vm)
    wait_for(lambda: values(address, series))
    wait_for(lambda: values(address, "instance:fakedirty_vms_migrating:sum"))


def test_hand_made_migrations(tmp_path: Path) -> None:
    exporter = Exporter(attached=lambda: [AttachedCounts(NAME, 1, "patched", 7, "10.0.2")])
    migration = made(NAME)
    with (
        serve(metrics_routes(exporter), port=0) as url,
        prometheus(urllib.parse.urlsplit(url).netloc, tmp_path) as address,
    ):
        since = time.time()
        limits = LimitsRead(START + 5 * SECOND, 1_000, channels=1, vcpu_rates={0: 4096})
        tell(migration, [exporter], (*EVENTS[:4], limits), end=False)
        for r in migration.rounds:
            migration.block_visits.take(r.round, "pc.ram", r.visited_pages or 0)
        for _ in range(5):
            scraped(address)
        more = [RoundEnded(START + number * SECOND, again(number, skip=True)) for number in (4, 5)]
        for event in (*EVENTS[4:6], *more, *SOURCE, *DESTINATION, *EVENTS[7:]):
            migration.apply(event)
            exporter.changed(migration, event)
        exporter.ended(migration)
        check_metrics(f"{url}/metrics")
        check_dashboards(address, NAME, since)


def test_how_its_container_is_looked_at(tmp_path: Path) -> None:
    container = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["prometheus"]
    command = container["healthcheck"]["test"][1:]
    with prometheus("127.0.0.1:1", tmp_path) as address:
        here = [re.sub("^http://.*", f"http://{address}", word) for word in command]
        assert here != command
        assert subprocess.run(here, capture_output=True, check=False).returncode == 0
    assert subprocess.run(here, capture_output=True, check=False).returncode != 0


@needs_openssl
def test_over_https_with_a_password_and_a_certificate(tmp_path: Path) -> None:
    exporter = Exporter()
    tell(made("vm"), [exporter])
    own, authority = certificate(tmp_path, "server"), certificate(tmp_path, "authority")
    client = certificate(tmp_path, "client", authority)
    configured = web_config(tmp_path / "web.yml", own, authority, prometheus="secret")
    shown = {"cert_file": str(client.certificate), "key_file": str(client.key)}
    right = {
        "scheme": "https",
        "tls_config": {"ca_file": str(own.certificate), **shown},
        "basic_auth": {"username": "prometheus", "password": "secret"},
    }
    wrong = {**right, "basic_auth": {"username": "prometheus", "password": "guessed"}}
    with serve(metrics_routes(exporter), "0.0.0.0", 0, configured) as url:
        target = f"127.0.0.1:{urllib.parse.urlsplit(url).port}"
        for client_side, up, series in ((wrong, "0", 0), (right, "1", 1)):
            directory = tmp_path / up
            directory.mkdir()
            with prometheus(target, directory, client_side) as server:
                (found,) = wait_for(partial(values, server, "up"))
                assert found == up
                assert len(values(server, "fakedirty_migration_valid")) == series


@pytest.fixture(scope="module")
def guest_arguments(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """The bare-metal guest on both sides, with 300 fake and 200 changed pages."""
    guest = build_guest("baremetal")
    workload = Workload(fake=300, changed=200, zero=50, pause_ms=5, memory_mib=64)
    logs = tmp_path_factory.mktemp("serial")
    return {side: guest.qemu_arguments(workload, logs / side) for side in ("source", "destination")}


def limit(milliseconds: int) -> Callable[[Qmp], object]:
    """Sets the downtime limit."""
    return lambda qmp: qmp.execute("migrate-set-parameters", {"downtime-limit": milliseconds})


def test_a_real_migration(tmp_path: Path, guest_arguments: dict[str, list[str]]) -> None:
    qemu = qemu_binary()
    with (
        shaped_network() as network,
        machine("web", qemu, guest_arguments["source"], end=network.source) as source,
        machine("web-2", qemu, [*guest_arguments["destination"], *INCOMING], end=network.destination) as destination,
        observe(
            "--pid", str(source.pid), "--json", "--out", str(tmp_path / "out"), "--listen", "127.0.0.1:0", "--pages"
        ) as watched,
        ExitStack() as stack,
    ):
        process, said = watched
        address = stack.enter_context(prometheus(urllib.parse.urlsplit(said["metrics"]).netloc, tmp_path))
        since = time.time()
        scraped(address)
        assert said["attached"] == f"web pid {source.pid} at level patched"
        outcome = migrate(
            source,
            destination,
            Settings(GENEROUS, 3_000_000, parameters={"fake-dirty-mode": "observe"}),
            time_limit=20,
            steps=[
                Step(limit(10), after_seconds=0.4),
                Step(lambda qmp: set_mode(qmp, Mode.SKIP), after_round=4),
                Step(limit(GENEROUS), after_round=9),
            ],
        )
        assert outcome.status == "completed"
        assert process.stdout
        lines: list[dict[str, Any]] = []
        while not lines or lines[-1]["type"] != "ended":
            lines.append(json.loads(process.stdout.readline()))
        check_metrics(said["metrics"])
        check_dashboards(address, "web", since, absent="|".join((RECOMMENDED, PREDICTED, VCPUS)))
        process.send_signal(signal.SIGTERM)
        _, stderr = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, stderr
        metrics_are_gone(said["metrics"])

    rounds = [line for line in lines if line["type"] == "round"]
    assert [line["to_mode"] for line in lines if line["type"] == "toggle"] == ["observe", "skip"]
    recording = load(tmp_path / "out")
    assert list(recording.rounds["fake_pages"]) == [line["fake_pages"] for line in rounds]
    assert recording.rounds["valid"].all()
    assert recording.rounds["skipped_pages"].sum() > 0
    (migration,) = recording.migrations.to_dict("records")
    assert (migration["outcome"], migration["vm"], migration["valid"]) == ("completed", "web", True)
    assert migration["transferred_bytes"] == outcome.final["ram"]["transferred"]
    assert len(recording.pages) == recording.rounds["visited_pages"].sum()
    manifest = json.loads((recording.directories[0] / "manifest.json").read_text())
    assert manifest["qemu"]["version"]["qemu"]["major"] == 10
    assert "guest=web,debug-threads=on" in manifest["qemu"]["command_line"]
    assert manifest["qemu"]["build_id"]


def metrics_are_gone(url: str) -> None:
    with pytest.raises((urllib.error.URLError, ConnectionError)):
        fetch(url)
