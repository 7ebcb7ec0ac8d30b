"""The rules for dashboards hold, and each of them finds what breaks it."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable
from typing import Any

import pytest
from dashboard_queries import DASHBOARDS
from dashboard_rules import RULES, Dashboard, variables

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed: apt-get install prometheus"
)
rules = [pytest.param(name, marks=needs_promtool if name == "target_promql" else ()) for name in RULES]
SELECTOR = '{job=~"$job",instance=~"$instance"}'


def panel(**changed: Any) -> Callable[[Dashboard], None]:
    """The first panel, otherwise."""
    return lambda dashboard: dashboard["panels"][0].update(changed)


def query(**changed: Any) -> Callable[[Dashboard], None]:
    """The first query of the first panel, otherwise."""
    return lambda dashboard: dashboard["panels"][0]["targets"][0].update(changed)


def variable(name: str, /, **changed: Any) -> Callable[[Dashboard], None]:
    """A variable, otherwise."""
    return lambda dashboard: variables(dashboard)[name].update(changed)


def query_of(expression: str) -> Callable[[Dashboard], None]:
    """Another expression."""
    return query(expr=expression)


#: what breaks a rule, by its name
BREAKING: dict[str, list[Callable[[Dashboard], None]]] = {
    "template_datasource": [variable("datasource", name="source"), variable("datasource", query="loki")],
    "template_targets": [variable("job", multi=False), variable("instance", allValue=None), variable("job", name="of")],
    "template_reload": [variable("instance", refresh=1)],
    "template_shows_all": [variable("instance", regex="/host-1.*/"), variable("job", hide=2)],
    "uneditable": [lambda dashboard: dashboard.update(editable=True)],
    "panel_datasource": [panel(datasource={"type": "prometheus", "uid": "mine"}), query(datasource=None)],
    "panel_title_description": [panel(title=""), panel(description=None), panel(title="Sent")],
    "panel_units": [panel(fieldConfig={"defaults": {}}), panel(fieldConfig={"defaults": {"unit": "pages"}})],
    "panel_thresholds": [panel(fieldConfig={"defaults": {}})],
    "panel_labels": [
        panel(type="table", fieldConfig={"defaults": {"unit": "short"}}),
        panel(type="barchart", options={"xField": "round"}, fieldConfig={"defaults": {"unit": "s"}}),
    ],
    "annotation_steps": [lambda dashboard: dashboard["annotations"]["list"][0].update(step="2s")],
    "panel_targets": [panel(targets=[])],
    "target_legend": [query(legendFormat="")],
    "target_promql": [
        query_of(f"sum(up{SELECTOR}"),
        query_of(f"up{SELECTOR} offset 0s"),
        query_of(f"summe(up{SELECTOR})"),
    ],
    "target_matchers": [
        query_of('sum(up{job=~"$job"})'),
        query_of('sum(up{instance=~"$instance"})'),
        query_of("sum(up)"),
        query_of(f"sum by (vm) (up{SELECTOR} and on (job) fakedirty_build_info)"),
        query_of(f'sum(up{SELECTOR} or up{{vm=${{vm:doublequote}},job="$job"}})'),
    ],
    "target_rate_interval": [
        query_of(f"sum(rate(fakedirty_pages_total{SELECTOR}[5m]))"),
        query_of(f"increase(fakedirty_pages_total{SELECTOR}[$__range])"),
    ],
    "target_counters": [
        query_of(f"sum(fakedirty_pages_total{SELECTOR})"),
        query_of(f"max(max_over_time(fakedirty_round_time_seconds_bucket{SELECTOR}[$__range]))"),
    ],
}


@pytest.mark.parametrize("dashboard", DASHBOARDS.values(), ids=DASHBOARDS)
@pytest.mark.parametrize("rule", rules)
def test_rules_hold(rule: str, dashboard: Dashboard) -> None:
    assert not list(RULES[rule](dashboard))


@pytest.mark.parametrize("rule", rules)
def test_what_breaks_a_rule_is_found(rule: str) -> None:
    assert BREAKING[rule]
    for breaks in BREAKING[rule]:
        dashboard = copy.deepcopy(DASHBOARDS["now"])
        breaks(dashboard)
        assert list(RULES[rule](dashboard))
