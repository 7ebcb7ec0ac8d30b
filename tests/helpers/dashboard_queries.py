"""Every query of the dashboards, as Prometheus gets it once Grafana has put in what was chosen."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

JSON = Path(__file__).parents[2] / "dashboards/json"
DASHBOARDS: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text()) for path in sorted(JSON.glob("*.json"))
}
PROMETHEUS = {"type": "prometheus", "uid": "${datasource}"}


@dataclass(frozen=True, slots=True)
class Query:
    """`where` it stands; `label` if it asks for the values of one, `over_time` if for a range."""

    where: str
    expression: str
    over_time: bool = False
    label: str = ""


def queries(dashboard: dict[str, Any]) -> Iterator[Query]:
    """Of panels, annotations and variables, with variables still in them."""
    title = dashboard["title"]
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            yield Query(f"{title}, {panel['title']}", target["expr"], bool(target.get("range")))
    for note in dashboard["annotations"]["list"]:
        if note["datasource"] == PROMETHEUS:
            yield Query(f"{title}, annotation {note['name']}", note["expr"], over_time=True)
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            found = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"])
            assert found, variable["query"]
            yield Query(f"{title}, variable {variable['name']}", found[1], label=found[2])


def chosen(expression: str, vm: str = "vm", rate_interval: str = "1m", range_: str = "5m") -> str:
    """The expression where all hosts and `vm` are chosen."""
    quoted = vm.replace('"', '\\"')
    values = {
        "${vm:doublequote}": f'"{quoted}"',
        "${vm_without:doublequote}": f'"{quoted}"',
        "$job": ".+",
        "$instance": ".+",
        "$ago": "1ms",
        "$__rate_interval": rate_interval,
        "$__interval": "1s",
        "$__range": range_,
    }
    pattern = "|".join(re.escape(name) for name in sorted(values, key=len, reverse=True))
    made = re.sub(pattern, lambda found: values[found[0]], expression)
    assert "$" not in made.replace(vm, ""), made
    return made
