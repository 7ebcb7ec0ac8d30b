"""The rules of Grafana's dashboard-linter, as far as they are of dashboards for Prometheus, and a few of our own.

A rule is given a dashboard, and says what is wrong with it.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from dashboard_queries import PROMETHEUS, chosen, queries

Dashboard = dict[str, Any]
Rule = Callable[[Dashboard], Iterator[str]]

#: Grafana's own names of units, those that we have use for
UNITS = {"short", "percentunit", "decbytes", "s", "Bps", "cps", "dateTimeAsIso", "string"}
LABELS = {"datasource": "Data source", "job": "Job", "instance": "Host"}
OF_COUNTERS = "rate|irate|increase"


def targets(dashboard: Dashboard) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every query of every panel, with the panel's title."""
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target


def variables(dashboard: Dashboard) -> dict[str, dict[str, Any]]:
    """By name."""
    return {variable["name"]: variable for variable in dashboard["templating"]["list"]}


def template_datasource(dashboard: Dashboard) -> Iterator[str]:
    """There is a variable for the data source."""
    found = variables(dashboard).get("datasource", {})
    if (found.get("type"), found.get("query"), found.get("label")) != ("datasource", "prometheus", "Data source"):
        yield "no variable for a Prometheus"


def template_targets(dashboard: Dashboard) -> Iterator[str]:
    """There are variables for job and instance, of several values, all of them by default."""
    for name in ("job", "instance"):
        found = variables(dashboard).get(name, {})
        has = [found.get(key) for key in ("type", "label", "multi", "includeAll", "allValue", "datasource")]
        if has != ["query", LABELS[name], True, True, ".+", PROMETHEUS]:
            yield f"variable {name}: {has}"


def template_reload(dashboard: Dashboard) -> Iterator[str]:
    """Variables are asked for again when the time range changes."""
    for name, variable in variables(dashboard).items():
        if variable["type"] == "query" and variable.get("refresh") != 2:
            yield f"variable {name} is not refreshed"


def template_shows_all(dashboard: Dashboard) -> Iterator[str]:
    """No variable hides values by a regular expression, or is hidden itself."""
    for name, variable in variables(dashboard).items():
        if variable.get("regex") or variable.get("hide"):
            yield f"variable {name} hides something"


def uneditable(dashboard: Dashboard) -> Iterator[str]:
    """It is changed in the code."""
    if dashboard.get("editable") is not False:
        yield "it can be edited"


def panel_datasource(dashboard: Dashboard) -> Iterator[str]:
    """Panels and queries use the chosen data source."""
    for panel in dashboard["panels"]:
        if panel.get("datasource") != PROMETHEUS:
            yield panel["title"]
    for title, target in targets(dashboard):
        if target.get("datasource") != PROMETHEUS:
            yield f"{title}: {target['refId']}"


def panel_title_description(dashboard: Dashboard) -> Iterator[str]:
    """Panels have both, and titles are not used twice."""
    titles = [panel.get("title") for panel in dashboard["panels"]]
    for panel in dashboard["panels"]:
        if not panel.get("title") or not panel.get("description"):
            yield f"panel {panel['id']}: no title, or no description"
        elif titles.count(panel["title"]) > 1:
            yield f"{panel['title']}: twice"


def panel_units(dashboard: Dashboard) -> Iterator[str]:
    """Panels have a unit that Grafana knows."""
    for panel in dashboard["panels"]:
        if panel["fieldConfig"]["defaults"].get("unit") not in UNITS:
            yield panel["title"]


def panel_thresholds(dashboard: Dashboard) -> Iterator[str]:
    """Panels that are coloured by their values have thresholds of their own: Grafana's are red from 80 on."""
    for panel in dashboard["panels"]:
        if panel["type"] in ("stat", "bargauge", "table") and "thresholds" not in panel["fieldConfig"]["defaults"]:
            yield panel["title"]


def panel_labels(dashboard: Dashboard) -> Iterator[str]:
    """Labels are text, whatever they read as: the unit of a panel is that of its labels too."""
    for panel in dashboard["panels"]:
        config = panel["fieldConfig"]
        if panel["type"] == "table" and config["defaults"].get("unit") != "string":
            yield panel["title"]
        if panel["type"] == "barchart":
            matcher = {"id": "byName", "options": panel["options"]["xField"]}
            given = [each["properties"] for each in config.get("overrides", []) if each["matcher"] == matcher]
            if not any({"id": "unit", "value": "string"} in properties for properties in given):
                yield panel["title"]


def annotation_steps(dashboard: Dashboard) -> Iterator[str]:
    """Grafana looks at annotations a hundred times, and joins looks that are no further apart than the step."""
    seconds = {"now-15m": 10, "now-1h": 30}[dashboard["time"]["from"]]
    for annotation in dashboard["annotations"]["list"]:
        if "step" in annotation and annotation["step"] != f"{seconds}s":
            yield f"{annotation['name']}: {annotation['step']}"


def panel_targets(dashboard: Dashboard) -> Iterator[str]:
    """Panels have queries."""
    for panel in dashboard["panels"]:
        if not panel.get("targets"):
            yield panel["title"]


def target_legend(dashboard: Dashboard) -> Iterator[str]:
    """Queries have a legend, no two of a panel the same."""
    for panel in dashboard["panels"]:
        legends = [target.get("legendFormat") for target in panel.get("targets", ())]
        if not all(legends) or len(set(legends)) < len(legends):
            yield panel["title"]


def target_promql(dashboard: Dashboard) -> Iterator[str]:
    """Every query is PromQL, by promtool."""
    rules = [
        {"record": f"query:{number}", "expr": chosen(query.expression), "labels": {"where": query.where}}
        for number, query in enumerate(queries(dashboard))
    ]
    with TemporaryDirectory() as directory:
        file = Path(directory, "rules.yml")
        file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
        done = subprocess.run(["promtool", "check", "rules", str(file)], capture_output=True, text=True, check=False)
    if done.returncode:
        yield done.stdout + done.stderr


def matchers(expression: str) -> Iterator[tuple[str, set[str]]]:
    """Each metric, and what its series are chosen by."""
    put_in = chosen(expression)
    selector = re.compile(r"([a-zA-Z_:][\w:]*)\{([^}]*)\}")
    for name, given in selector.findall(put_in):
        yield name, set(given.split(","))
    rest = re.sub(r"\b(by|on|ignoring|without)\s*\([^)]*\)|\[[^\]]*\]|\boffset \S+", "", selector.sub("", put_in))
    for name in re.findall(r"\b[a-zA-Z_:][\w:]*\b(?!\s*\()", rest):
        if name not in ("and", "or", "unless", "NaN"):
            yield name, set()


def target_matchers(dashboard: Dashboard) -> Iterator[str]:
    """Every metric is of the chosen jobs and instances."""
    for title, target in targets(dashboard):
        for name, given in matchers(target["expr"]):
            if not {'job=~".+"', 'instance=~".+"'} <= given:
                yield f"{title}: {name}"


def target_rate_interval(dashboard: Dashboard) -> Iterator[str]:
    """Counters are looked at over Grafana's own interval."""
    for title, target in targets(dashboard):
        for interval in re.findall(rf"\b(?:{OF_COUNTERS})\([^\[]*\[([^\]]*)\]", target["expr"]):
            if interval != "$__rate_interval":
                yield f"{title}: {interval}"


def target_counters(dashboard: Dashboard) -> Iterator[str]:
    """A counter itself means nothing: only how it grows does."""
    for title, target in targets(dashboard):
        grows = re.sub(rf"\b(?:{OF_COUNTERS})\([a-z_]+\{{", "", target["expr"])
        for name in re.findall(r"\b\w+_(?:total|bucket|count|sum)\b(?=\{)", grows):
            yield f"{title}: {name}"


RULES: dict[str, Rule] = {
    rule.__name__: rule
    for rule in (
        template_datasource,
        template_targets,
        template_reload,
        template_shows_all,
        uneditable,
        panel_datasource,
        panel_title_description,
        panel_units,
        panel_thresholds,
        panel_labels,
        annotation_steps,
        panel_targets,
        target_legend,
        target_promql,
        target_matchers,
        target_rate_interval,
        target_counters,
    )
}
