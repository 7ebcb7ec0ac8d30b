"""One panel as a row of a table, and the panel that Grafana gets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from grafana_foundation_sdk.builders import barchart, bargauge, heatmap, stat, table
from grafana_foundation_sdk.builders import prometheus as prometheus_build
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import prometheus

from .looks import Look, Made, letter
from .variables import DATASOURCE
from .words import COLOURS, VALUES

AT_ONCE = (barchart.Panel, bargauge.Panel, stat.Panel, table.Panel)  # show only the end of the time range
PLAIN = (stat.Panel, table.Panel)  # coloured by their values
TABLES = (barchart.Panel, table.Panel)


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel of a dashboard.

    `queries` are PromQL by legend. `width` is a part of 24, `height` is in grid units. `fields` are properties of
    single columns by legend: their own unit, words for numbers, a link. In a table, `unit` applies only to what queries
    return: a label that looks like a number, as the name of a VM may, stays as it is.
    """

    title: str
    description: str
    unit: str
    queries: Mapping[str, str]
    look: Look
    width: int
    height: int = 8
    fields: Mapping[str, Mapping[str, object]] = field(default_factory=dict)


def made(spec: Panel) -> Made:
    """The panel that `spec` describes."""
    panel = spec.look(tuple(spec.queries)).title(spec.title).description(spec.description)
    panel.datasource(DATASOURCE).span(spec.width).height(spec.height)
    panel.unit("string" if isinstance(panel, table.Panel) else spec.unit)
    for index, (legend, expression) in enumerate(spec.queries.items()):
        query = prometheus_build.Dataquery().expr(expression).legend_format(legend).ref_id(letter(index))
        query.datasource(DATASOURCE)
        if isinstance(panel, TABLES):
            query.format(prometheus.PromQueryFormat.TABLE)
        elif isinstance(panel, heatmap.Panel):
            query.format(prometheus.PromQueryFormat.HEATMAP)
        if isinstance(panel, AT_ONCE):
            query.instant()
        else:
            query.range()
        panel.with_target(query)
        if not isinstance(panel, PLAIN):
            for name in VALUES.get(legend, [legend]):
                if name in COLOURS:
                    panel.override_by_name(name, [_property("color", {"mode": "fixed", "fixedColor": COLOURS[name]})])
    fields = {legend: {"unit": spec.unit} for legend in spec.queries} if isinstance(panel, table.Panel) else {}
    for name, properties in {**fields, **spec.fields}.items():
        all_of_it = {**fields.get(name, {}), **properties}
        panel.override_by_name(name, [_property(key, value) for key, value in all_of_it.items()])
    return panel


def _property(name: str, value: object) -> model.DynamicConfigValue:
    return model.DynamicConfigValue(id_val=name, value=value)
