"""Dashboards and provisioning: JSON equal to the code, metrics that exist, parts that know each other."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from fakedirty.export.metrics import METRICS
from fakedirty.export.serve import DEFAULT_HOST, DEFAULT_PORT

ROOT = Path(__file__).parents[2]
CHECKED_IN = ROOT / "dashboards/json/migration.json"
DASHBOARD: dict[str, Any] = json.loads(CHECKED_IN.read_text())


def as_code() -> ModuleType:
    spec = importlib.util.spec_from_file_location("migration_dashboard", ROOT / "dashboards/migration.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def read_yaml(path: str) -> Any:
    return yaml.safe_load((ROOT / path).read_text())


def test_the_json_is_what_the_code_makes() -> None:
    made = as_code().rendered()
    assert made == CHECKED_IN.read_text(), "python dashboards/migration.py > dashboards/json/migration.json"


def test_every_query_names_metrics_that_exist_and_the_chosen_vm() -> None:
    known = {metric.name for metric in METRICS}
    for panel in DASHBOARD["panels"]:
        assert panel["targets"]
        for query in panel["targets"]:
            names = set(re.findall(r"fakedirty_\w+", query["expr"]))
            assert names
            assert names <= known
            assert query["expr"].count('vm="$vm"') >= len(names)
            assert query["datasource"]["uid"] == "${datasource}"


def test_every_panel_says_what_it_shows_and_in_which_unit() -> None:
    for panel in DASHBOARD["panels"]:
        assert panel["title"]
        assert panel["description"]
        assert panel["fieldConfig"]["defaults"]["unit"]
    titles = [panel["title"] for panel in DASHBOARD["panels"]]
    assert len(titles) == len(set(titles))


def test_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not taken & cells
        assert at["x"] + at["w"] <= 24
        taken |= cells


def test_variables() -> None:
    assert [variable["name"] for variable in DASHBOARD["templating"]["list"]] == ["datasource", "vm"]


def test_the_parts_of_the_stack_know_each_other() -> None:
    services = read_yaml("docker-compose.yml")["services"]
    (scrape,) = read_yaml("dashboards/prometheus/prometheus.yml")["scrape_configs"]
    assert scrape["static_configs"] == [{"targets": [f"{DEFAULT_HOST}:{DEFAULT_PORT}"]}]
    (source,) = read_yaml("dashboards/grafana/provisioning/datasources/prometheus.yml")["datasources"]
    listen = next(word for word in services["prometheus"]["command"] if word.startswith("--web.listen-address="))
    assert source["url"] == f"http://{listen.partition('=')[2]}"
    (provider,) = read_yaml("dashboards/grafana/provisioning/dashboards/fakedirty.yml")["providers"]
    mounts = [mount.split(":")[1] for mount in services["grafana"]["volumes"]]
    assert provider["options"]["path"] in mounts
    home = services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home == f"{provider['options']['path']}/{CHECKED_IN.name}"


def test_prometheus_accepts_its_configuration() -> None:
    try:
        command = ["promtool", "check", "config", str(ROOT / "dashboards/prometheus/prometheus.yml")]
        check = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("promtool is not installed: apt-get install prometheus")
    assert check.returncode == 0, check.stdout + check.stderr
