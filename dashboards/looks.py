"""The kinds of panels: a number, lines over time, bands of states, a bar for each round, a table of VMs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from grafana_foundation_sdk.builders import barchart, bargauge, heatmap, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.builders import common as common_build
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as model

from .words import Words, mapping

Made = (
    barchart.Panel | bargauge.Panel | heatmap.Panel | stat.Panel | statetimeline.Panel | table.Panel | timeseries.Panel
)
Look = Callable[[Sequence[str]], Made]  # makes a panel from the legends of its queries

LAST = common_build.ReduceDataOptions().calcs(["lastNotNull"])


def letter(index: int) -> str:
    """Grafana's name of a query: ``A`` for the first of a panel."""
    return chr(ord("A") + index)


def _columns(legends: Sequence[str]) -> dict[str, str]:
    """The name that a merged table gives the value of each query, and our legend for it."""
    if len(legends) == 1:
        return {"Value": legends[0]}
    return {f"Value #{letter(number)}": legend for number, legend in enumerate(legends)}


def _transformed(*steps: tuple[str, dict[str, object]]) -> list[model.DataTransformerConfig]:
    return [model.DataTransformerConfig(id_val=name, options=options) for name, options in steps]


def _thresholds(*steps: tuple[float | None, str]) -> build.ThresholdsConfig:
    """A colour from each value on. Without thresholds, Grafana shows everything from 80 on in red."""
    made = [model.Threshold(value=value, color=colour) for value, colour in steps]
    return build.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(made)


def number(legends: Sequence[str]) -> Made:
    """A single number, or one for each series, in the colour of text."""
    made = stat.Panel().graph_mode(common.BigValueGraphMode.NONE).color_mode(common.BigValueColorMode.VALUE)
    return made.reduce_options(LAST).no_value("-").thresholds(_thresholds((None, "text")))


def alarm(legends: Sequence[str]) -> Made:
    """A number that should be 0: green while it is, else red."""
    return number(legends).thresholds(_thresholds((None, "green"), (1, "red")))


def word(words: Words) -> Look:
    """A coloured word that stands for a number."""

    def make(legends: Sequence[str]) -> Made:
        return number(legends).mappings([mapping(words)])

    return make


def lines(legends: Sequence[str]) -> Made:
    """Lines over time."""
    return timeseries.Panel().fill_opacity(10).line_width(2)


def states(words: Words) -> Look:
    """Bands of states over time."""

    def make(legends: Sequence[str]) -> Made:
        return statetimeline.Panel().mappings([mapping(words)]).merge_values(True)

    return make


def gauges(legends: Sequence[str]) -> Made:
    """A horizontal bar for each series."""
    made = bargauge.Panel().reduce_options(LAST).orientation(common.VizOrientation.HORIZONTAL)
    return made.display_mode(common.BarGaugeDisplayMode.BASIC).min(0).thresholds(_thresholds((None, "blue")))


def heat(legends: Sequence[str]) -> Made:
    """Buckets of a histogram over time."""
    return heatmap.Panel().calculate(False)


def bars(legends: Sequence[str]) -> Made:
    """A bar for each round, with the queries stacked.

    Each query is a table (round, value). They are merged, and sorted by round as a number. Then the round becomes text,
    so that the unit of the panel applies only to the bars.
    """
    chart = barchart.Panel().x_field("round").stacking(common.StackingMode.NORMAL)
    chart.show_value(common.VisibilityMode.NEVER)
    chart.override_by_name("round", [model.DynamicConfigValue(id_val="unit", value="string")])
    return chart.transformations(
        _transformed(
            ("merge", {}),
            ("convertFieldType", {"conversions": [{"targetField": "round", "destinationType": "number"}]}),
            ("sortBy", {"sort": [{"field": "round"}]}),
            ("convertFieldType", {"conversions": [{"targetField": "round", "destinationType": "string"}]}),
            ("organize", {"excludeByName": {"Time": True}, "renameByName": _columns(legends)}),
        )
    )


def side_by_side(legends: Sequence[str]) -> Made:
    """A bar for each round and query, side by side."""
    made = bars(legends)
    assert isinstance(made, barchart.Panel)
    return made.stacking(common.StackingMode.NONE)


def rows(legends: Sequence[str]) -> Made:
    """A table with a column for each label that the queries keep, and one for each query."""
    return (
        table.Panel()
        .thresholds(_thresholds((None, "text")))
        .transformations(
            _transformed(
                ("merge", {}), ("organize", {"excludeByName": {"Time": True}, "renameByName": _columns(legends)})
            )
        )
    )
