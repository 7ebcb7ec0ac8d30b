"""The dashboard of one VM's migrations, as code: ``python dashboards/migration.py > dashboards/json/migration.json``.

Panels are a table; a test holds the JSON that is checked in against it, and runs every query in a real Prometheus.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from grafana_foundation_sdk.builders import barchart, stat, statetimeline, timeseries
from grafana_foundation_sdk.builders import common as common_build
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import prometheus as prometheus_build
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common, prometheus
from grafana_foundation_sdk.models import dashboard as model

DATASOURCE = model.DataSourceRef(type_val="prometheus", uid="${datasource}")

COLOURS = {
    "first": "blue",
    "changed": "yellow",
    "fake": "red",
    "normal": "blue",
    "zero": "#808080",
    "xbzrle": "purple",
    "unchanged": "orange",
    "skipped": "green",
    "sent": "blue",
    "saved": "green",
    "dirty": "orange",
    "left": "purple",
}
MODES = {"0": ("off", "#808080"), "1": ("observe", "blue"), "2": ("skip", "green")}
VERDICTS = {"0": ("not valid", "red"), "1": ("valid", "green")}


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel: `queries` are PromQL by legend, `make` the kind of panel, `width` of 24, `height` in grid units."""

    title: str
    description: str
    unit: str
    queries: dict[str, str]
    make: Callable[[Panel], Panels]
    width: int
    height: int = 8


Panels = barchart.Panel | stat.Panel | statetimeline.Panel | timeseries.Panel


def chosen(metric: str, labels: dict[str, str]) -> str:
    """The series of `metric` with `labels` for the chosen VM."""
    matchers = {"vm": "$vm"} | labels
    selector = ",".join(f'{name}="{value}"' for name, value in matchers.items())
    return f"{metric}{{{selector}}}"


def last(metric: str, **labels: str) -> str:
    """The value of `metric`."""
    return f"sum({chosen(metric, labels)})"


def by_round(metric: str, **labels: str) -> str:
    """The value of `metric` in each round of the last migration."""
    return f"sum by (round) ({chosen(metric, labels)})"


def rate(metric: str) -> str:
    """`metric` per second."""
    return f'sum(rate({metric}{{vm="$vm"}}[$__rate_interval]))'


def number(panel: Panel) -> stat.Panel:
    """A single figure."""
    made = stat.Panel().graph_mode(common.BigValueGraphMode.NONE).color_mode(common.BigValueColorMode.VALUE)
    return made.reduce_options(common_build.ReduceDataOptions().calcs(["lastNotNull"]))


def verdict(panel: Panel) -> stat.Panel:
    """A single word."""
    return number(panel).mappings([mapping(VERDICTS)])


def lines(panel: Panel) -> timeseries.Panel:
    """Lines over time."""
    return timeseries.Panel().fill_opacity(10).line_width(2)


def states(panel: Panel) -> statetimeline.Panel:
    """A band of states over time."""
    return statetimeline.Panel().mappings([mapping(MODES)]).merge_values(True)


def bars(panel: Panel) -> barchart.Panel:
    """A bar a round. Each query is a table (round, value): merge them, and sort rounds as numbers, not as text."""
    names = {"Value" if len(panel.queries) == 1 else f"Value #{letter(n)}": q for n, q in enumerate(panel.queries)}
    transformations: list[tuple[str, dict[str, object]]] = [
        ("merge", {}),
        ("convertFieldType", {"conversions": [{"targetField": "round", "destinationType": "number"}]}),
        ("sortBy", {"sort": [{"field": "round"}]}),
        ("convertFieldType", {"conversions": [{"targetField": "round", "destinationType": "string"}]}),
        ("organize", {"excludeByName": {"Time": True}, "renameByName": names}),
    ]
    chart = barchart.Panel().x_field("round").stacking(common.StackingMode.NORMAL)
    chart.show_value(common.VisibilityMode.NEVER).transformations(
        [model.DataTransformerConfig(id_val=name, options=options) for name, options in transformations]
    )
    return chart


def side_by_side(panel: Panel) -> barchart.Panel:
    """A bar a round and query."""
    return bars(panel).stacking(common.StackingMode.NONE)


def mapping(words: dict[str, tuple[str, str]]) -> model.ValueMap:
    """Numbers shown as coloured words."""
    return model.ValueMap(
        options={number: model.ValueMappingResult(text=text, color=color) for number, (text, color) in words.items()}
    )


def letter(index: int) -> str:
    """How Grafana names the queries of a panel."""
    return chr(ord("A") + index)


FAKE = {"class": "fake"}

PANELS = (
    Panel(
        "Fake share",
        "Fake pages as a share of the classified pages of the last migration: what was marked dirty though it held "
        "exactly what had been sent before. Of its last 64 rounds; a bulk round among them has first pages only.",
        "percentunit",
        {"fake": f"{last('fakedirty_round_pages', **FAKE)} / {last('fakedirty_round_pages')}"},
        number,
        4,
        4,
    ),
    Panel(
        "Saved",
        "Bytes that skipped pages would have cost, over all migrations that the exporter has seen.",
        "decbytes",
        {"saved": last("fakedirty_saved_bytes_total")},
        number,
        4,
        4,
    ),
    Panel(
        "Total time",
        "Of the last migration, as query-migrate reports it.",
        "s",
        {"total": last("fakedirty_migration_duration_seconds")},
        number,
        4,
        4,
    ),
    Panel(
        "Downtime",
        "Of the last migration, as query-migrate reports it.",
        "s",
        {"downtime": last("fakedirty_migration_downtime_seconds")},
        number,
        4,
        4,
    ),
    Panel(
        "Lost events",
        "Events that never reached the collector: what they belong to is reported as invalid.",
        "short",
        {"lost": f"{last('fakedirty_lost_events_total')} or 0 * {last('fakedirty_migration_valid')}"},
        number,
        4,
        4,
    ),
    Panel(
        "Verdict",
        "Whether every round of the last migration obeys conservation, agrees between its sources, and lost no event. "
        "The reason stands in rounds.csv.",
        "short",
        {"valid": 'min(fakedirty_migration_valid{vm="$vm"})'},
        verdict,
        4,
        4,
    ),
    Panel(
        "Rounds by class",
        "Visited pages of each round of the last migration (at most its last 64). Fake pages are those that skipping "
        "would not send.",
        "short",
        {word: by_round("fakedirty_round_pages", **{"class": word}) for word in ("first", "changed", "fake")},
        bars,
        12,
    ),
    Panel(
        "Rounds by disposition",
        "What became of the visited pages of each round of the last migration.",
        "short",
        {
            word: by_round("fakedirty_round_page_dispositions", disposition=word)
            for word in ("normal", "zero", "xbzrle", "unchanged", "skipped")
        },
        bars,
        12,
    ),
    Panel(
        "Bytes sent and saved, by round",
        "Bytes sent in each round of the last migration, and what its skipped pages would have cost on top.",
        "decbytes",
        {"sent": by_round("fakedirty_round_transferred_bytes"), "saved": by_round("fakedirty_round_saved_bytes")},
        bars,
        12,
    ),
    Panel(
        "Dirty and left pages, by round",
        "To be visited in each round, and still dirty when the next one begins: does it converge?",
        "short",
        {"dirty": by_round("fakedirty_round_dirty_pages"), "left": by_round("fakedirty_round_left_pages")},
        side_by_side,
        12,
    ),
    Panel(
        "Bytes sent and saved",
        "Per second, told at the end of each round.",
        "Bps",
        {"sent": rate("fakedirty_transferred_bytes_total"), "saved": rate("fakedirty_saved_bytes_total")},
        lines,
        12,
    ),
    Panel(
        "Pages by class",
        "Per second, told at the end of each round.",
        "pages/s",
        {
            "{{class}}": 'sum by (class) (rate(fakedirty_pages_total{vm="$vm"}[$__rate_interval]))',
        },
        lines,
        12,
    ),
    Panel(
        "Mode",
        "fake-dirty-mode as QEMU last adopted it.",
        "short",
        {
            "mode": " + 2 * ".join(last("fakedirty_mode", fakedirty_mode=word) for word in ("observe", "skip")),
        },
        states,
        24,
        5,
    ),
)


def panel(spec: Panel) -> Panels:
    """The panel that `spec` describes."""
    made = spec.make(spec).title(spec.title).description(spec.description).unit(spec.unit)
    made.datasource(DATASOURCE).span(spec.width).height(spec.height)
    for index, (legend, expression) in enumerate(spec.queries.items()):
        query = prometheus_build.Dataquery().expr(expression).legend_format(legend).ref_id(letter(index))
        query.datasource(DATASOURCE)
        if isinstance(made, barchart.Panel):
            query.instant().format(prometheus.PromQueryFormat.TABLE)
        elif isinstance(made, stat.Panel):
            query.instant()
        else:
            query.range()
        made.with_target(query)
        if legend in COLOURS and not isinstance(made, stat.Panel):
            colour = {"mode": "fixed", "fixedColor": COLOURS[legend]}
            made.override_by_name(legend, [model.DynamicConfigValue(id_val="color", value=colour)])
    return made


def dashboard() -> model.Dashboard:
    """All of it."""
    made = build.Dashboard("Fake dirty pages").uid("fakedirty-migration").tags(["fakedirty", "qemu", "migration"])
    made.description("Live migration of one VM, round by round: what is fake, what is sent, what skipping saves.")
    made.time("now-15m", "now").refresh("5s").readonly().tooltip(model.DashboardCursorSync.CROSSHAIR)
    made.with_variable(build.DatasourceVariable("datasource").label("Data source").type("prometheus"))
    made.with_variable(
        build.QueryVariable("vm")
        .label("VM")
        .datasource(DATASOURCE)
        .query("label_values(fakedirty_migration_info, vm)")
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
    )
    for spec in PANELS:
        made.with_panel(panel(spec))
    return made.build()


def rendered() -> str:
    """The JSON that Grafana is given."""
    return json.dumps(dashboard(), cls=JSONEncoder, indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    print(rendered(), end="")
