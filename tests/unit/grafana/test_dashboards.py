"""Dashboards and provisioning: JSON equal to the code, metrics that exist, parts that know each other."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from dashboard_queries import DASHBOARDS, JSON, queries
from fakedirty.export.host import HOST
from fakedirty.export.metrics import METRICS
from fakedirty.web.address import DEFAULT_HOST, DEFAULT_PORT

from dashboards.__main__ import BOARDS, files

ROOT = Path(__file__).parents[3]
TITLES = ["Migrations now", "One migration, round by round", "A/B: skip on against off", "Hosts and collector health"]
#: series that Prometheus makes itself, of its targets and its rules
OWN = {"up", "scrape_duration_seconds", "scrape_samples_scraped", "ALERTS"}
RULES = yaml.safe_load((ROOT / "dashboards/prometheus/rules/recording.yml").read_text())["groups"]

each = pytest.mark.parametrize("dashboard", DASHBOARDS.values(), ids=DASHBOARDS)


def read_yaml(path: str) -> Any:
    return yaml.safe_load((ROOT / path).read_text())


def test_the_json_is_what_the_code_makes() -> None:
    there = {path.name: path.read_text() for path in JSON.iterdir()}
    assert files() == there, "python -m dashboards"


def test_there_are_four() -> None:
    assert [DASHBOARDS[name]["title"] for name in BOARDS] == TITLES
    assert len({dashboard["uid"] for dashboard in DASHBOARDS.values()}) == len(TITLES)


@each
def test_every_query_names_what_exists(dashboard: dict[str, Any]) -> None:
    known = {metric.name for metric in (*METRICS, *HOST)} | OWN
    known |= {f"{metric.name}_bucket" for metric in METRICS if metric.type == "histogram"}
    known |= {rule["record"] for group in RULES for rule in group["rules"]}
    for query in queries(dashboard):
        names = set(re.findall(r"([A-Za-z_][\w:]*)\{", query.expression)) or {query.expression}
        assert names <= known, query


def test_every_verdict_is_shown() -> None:
    named = {metric.name for metric in METRICS if metric.name.startswith("fakedirty_verdict_")}
    everything = json.dumps(list(DASHBOARDS.values()))
    assert named
    assert {name for name in named if name in everything} == named


@each
def test_panels_do_not_overlap(dashboard: dict[str, Any]) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not taken & cells
        assert at["x"] + at["w"] <= 24
        taken |= cells


@pytest.mark.parametrize(
    ("name", "variables"),
    {
        "now": ["datasource", "job", "instance"],
        "migration": ["datasource", "job", "instance", "vm"],
        "ab": ["datasource", "job", "instance", "vm_without", "ago", "vm"],
        "hosts": ["datasource", "job", "instance"],
    }.items(),
)
def test_variables(name: str, variables: list[str]) -> None:
    assert [variable["name"] for variable in DASHBOARDS[name]["templating"]["list"]] == variables


@each
def test_one_leads_to_the_others(dashboard: dict[str, Any]) -> None:
    (link,) = dashboard["links"]
    assert (link["type"], link["includeVars"], link["keepTime"]) == ("dashboards", True, True)
    assert set(link["tags"]) <= set(dashboard["tags"])


def test_links_of_rows_lead_to_dashboards_that_there_are() -> None:
    leading = re.findall(r'"/d/([\w-]+)\?', json.dumps(list(DASHBOARDS.values())))
    assert leading
    assert set(leading) <= {dashboard["uid"] for dashboard in DASHBOARDS.values()}


@each
def test_migrations_and_toggles_are_marked(dashboard: dict[str, Any]) -> None:
    notes = {note["name"]: note for note in dashboard["annotations"]["list"]}
    assert list(notes) == ["Migrations", "Toggles", "Posted by the service"]
    assert "fakedirty_migration_active{" in notes["Migrations"]["expr"]
    assert "fakedirty_mode{" in notes["Toggles"]["expr"]
    assert "fakedirty" in notes["Posted by the service"]["target"]["tags"]


def test_the_parts_of_the_stack_know_each_other() -> None:
    services = read_yaml("docker-compose.yml")["services"]
    (scrape,) = read_yaml("dashboards/prometheus/prometheus.yml")["scrape_configs"]
    assert scrape["static_configs"] == [{"targets": [f"{DEFAULT_HOST}:{DEFAULT_PORT}"]}]
    (source,) = read_yaml("dashboards/grafana/provisioning/datasources/prometheus.yml")["datasources"]
    listen = next(word for word in services["prometheus"]["command"] if word.startswith("--web.listen-address="))
    assert source["url"] == f"http://{listen.partition('=')[2]}"
    (provider,) = read_yaml("dashboards/grafana/provisioning/dashboards/fakedirty.yml")["providers"]
    mounts = {mount.split(":")[1]: mount.split(":")[0] for mount in services["grafana"]["volumes"]}
    assert mounts[provider["options"]["path"]] == "./dashboards/json"
    home = services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    directory, _, name = home.rpartition("/")
    assert directory == provider["options"]["path"]
    assert (JSON / name).exists()


def test_prometheus_accepts_its_configuration() -> None:
    try:
        command = ["promtool", "check", "config", str(ROOT / "dashboards/prometheus/prometheus.yml")]
        check = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("promtool is not installed: apt-get install prometheus")
    assert check.returncode == 0, check.stdout + check.stderr
