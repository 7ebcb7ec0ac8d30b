"""Dashboards that are broken, one fault each: a name that Grafana does not know, or one that it knows and is wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Board = dict[str, Any]


def panel(board: Board, title: str) -> dict[str, Any]:
    """The one of that title."""
    found: list[dict[str, Any]] = [each for each in board["panels"] if each["title"] == title]
    (one,) = found
    return one


def defaults(board: Board, title: str) -> dict[str, Any]:
    """Of the fields of a panel."""
    found: dict[str, Any] = panel(board, title)["fieldConfig"]["defaults"]
    return found


def override(board: Board, title: str, name: str) -> dict[str, Any]:
    """That of the field `name`."""
    overrides: list[dict[str, Any]] = panel(board, title)["fieldConfig"]["overrides"]
    return next(each for each in overrides if each["matcher"]["options"] == name)


def property_of(board: Board, title: str, name: str, id_: str) -> dict[str, Any]:
    """One of those that the field `name` is given."""
    properties: list[dict[str, Any]] = override(board, title, name)["properties"]
    return next(each for each in properties if each["id"] == id_)


def step(board: Board, title: str, kind: str) -> dict[str, Any]:
    """The first transformation of a kind."""
    found: dict[str, Any] = next(each for each in panel(board, title)["transformations"] if each["id"] == kind)
    return found


def query(board: Board, title: str) -> dict[str, Any]:
    """The first of a panel."""
    found: dict[str, Any] = panel(board, title)["targets"][0]
    return found


def query_of(board: Board, title: str, legend: str) -> dict[str, Any]:
    """The one of a panel that has this legend."""
    queries: list[dict[str, Any]] = panel(board, title)["targets"]
    return next(each for each in queries if each["legendFormat"] == legend)


def without_its_end(target: dict[str, Any], end: str) -> None:
    """A query that stops before `end`."""
    target["expr"], _ = target["expr"].split(end)


def renamed(mapping: dict[str, Any], old: str, new: str) -> None:
    """A member that nobody knows any more."""
    mapping[new] = mapping.pop(old)


TABLE, BARS, LINES = "Last migration of each VM", "Rounds by class", "Bytes sent and saved"
ROUNDS, LIMIT = "Bytes sent and saved, by round", "Downtime limit"

Broken = tuple[str, Callable[[Board], object], str]

#: what is broken, in which dashboard and how, and what is found
BREAKING: dict[str, Broken] = {
    "a unit that there is not": (
        "now", lambda b: defaults(b, "Sent").update(unit="decibytes"), "unknown unit decibytes",
    ),
    "a unit of something else": ("now", lambda b: defaults(b, "Sent").update(unit="s"), "Sent: "),
    "a unit of powers of two": ("now", lambda b: defaults(b, "Sent").update(unit="bytes"), "Sent: "),
    "a unit of a column that there is not": (
        "now", lambda b: property_of(b, TABLE, "takes", "unit").update(value="secs"), "unknown unit secs",
    ),
    "a unit for names": ("now", lambda b: defaults(b, TABLE).update(unit="short"), f"{TABLE}: "),
    "a unit for numbers of rounds": (
        "migration", lambda b: override(b, ROUNDS, "round").update(properties=[]), f"{ROUNDS}: ",
    ),
    # of so many values that some are hidden, whatever they are: one of three digits is not
    "decimals that hide values": (
        "now", lambda b: [each["fieldConfig"]["defaults"].update(decimals=0) for each in b["panels"]], ": ",
    ),
    "a transformation that there is not": (
        "now", lambda b: step(b, TABLE, "merge").update(id="merges"), "unknown transformation merges",
    ),
    "tables that are not merged": ("now", lambda b: panel(b, TABLE)["transformations"].pop(0), f"{TABLE}: "),
    "an option that its transformation does not know": (
        "now", lambda b: renamed(step(b, TABLE, "organize")["options"], "renameByName", "rename"), f"{TABLE}: ",
    ),
    "a column that is excluded by another name": (
        "now", lambda b: step(b, TABLE, "organize")["options"].update(excludeByName={"time": True}), f"{TABLE}: ",
    ),
    "rounds sorted as text": (
        "migration", lambda b: step(b, BARS, "convertFieldType")["options"].update(conversions=[]), f"{BARS}: ",
    ),
    "rounds by a field that there is not": (
        "migration", lambda b: panel(b, BARS)["options"].update(xField="Round"), "no field Round",
    ),
    "a kind of mapping that there is not": (
        "migration", lambda b: defaults(b, "Mode")["mappings"][0].update(type="values"), "unknown mapping values",
    ),
    "a mapping of other values": (
        "migration", lambda b: renamed(defaults(b, "Mode")["mappings"][0]["options"], "2", "3"), "Mode: ",
    ),
    "a word in another colour": (
        "migration", lambda b: defaults(b, "Figures")["mappings"][0]["options"]["1"].update(color="red"), "Figures: ",
    ),
    "a matcher that there is not": (
        "migration", lambda b: override(b, LINES, "sent")["matcher"].update(id="byNames2"), "unknown matcher byNames2",
    ),
    "a matcher of another name": (
        "migration", lambda b: override(b, LINES, "sent")["matcher"].update(options="send"), f"{LINES}: ",
    ),
    "a reducer that there is not": (
        "now",
        lambda b: panel(b, "Sent")["options"]["reduceOptions"].update(calcs=["newest"]),
        "unknown reducer newest",
    ),
    "another reducer": (
        "now", lambda b: panel(b, "Sent")["options"]["reduceOptions"].update(calcs=["count"]), "Sent: ",
    ),
    "an option that there is not": (
        "now", lambda b: panel(b, "Sent")["options"].update(colourMode="value"), "unknown option colourMode",
    ),
    "an option of another kind of panel": (
        "now", lambda b: panel(b, "Sent")["options"].update(showHeader=True), "unknown option showHeader",
    ),
    "a property of fields that there is not": (
        "now", lambda b: defaults(b, "Sent").update(digits=2), "unknown property digits",
    ),
    "a custom property that there is not": (
        "migration", lambda b: defaults(b, LINES)["custom"].update(fill=1), "unknown property custom.fill",
    ),
    "a property that an override cannot set": (
        "now",
        lambda b: property_of(b, TABLE, "state", "custom.cellOptions").update(id="custom.cellOption"),
        "unknown property custom.cellOption",
    ),
    "lines in any colour": (
        "now", lambda b: panel(b, "Pages by class")["fieldConfig"].update(overrides=[]), "Pages by class: ",
    ),
    "words without their colour": (
        "now", lambda b: override(b, TABLE, "state")["properties"].pop(), f"{TABLE}: ",
    ),
    "a colour that there is not": (
        "now", lambda b: defaults(b, "Sent")["thresholds"]["steps"][0].update(color="gren"), "unknown colour gren",
    ),
    "a colour mode that there is not": (
        "migration",
        lambda b: property_of(b, LINES, "sent", "color")["value"].update(mode="fix"),
        "unknown colour mode fix",
    ),
    "a mode of thresholds that there is not": (
        "now", lambda b: defaults(b, "Sent")["thresholds"].update(mode="abs"), "unknown thresholds mode abs",
    ),
    "Grafana's own thresholds": ("now", lambda b: defaults(b, "Sent").pop("thresholds"), "Sent: "),
    "a kind of panel that there is not": (
        "now", lambda b: panel(b, "Sent").update(type="figure"), "no panel of kind figure",
    ),
    "another legend": (
        "now", lambda b: query(b, "Left pages").update(legendFormat="{{instance}} {{vm}}"), "Left pages: ",
    ),
    "a query over time as one of a moment": (
        "migration", lambda b: query(b, LINES).update(instant=True, range=False), f"{LINES}: ",
    ),
    "a table as time series": ("now", lambda b: query(b, TABLE).pop("format"), f"{TABLE}: "),
    "buckets as time series": (
        "hosts", lambda b: query(b, "Rounds by their fake share").pop("format"), "no rows of buckets",
    ),
    "a variable that there is not": (
        "now",
        lambda b: query(b, "Sent").update(expr=query(b, "Sent")["expr"].replace("$job", "$jobs")),
        "Sent: ",
    ),
    "a format of a variable that does not quote": (
        "migration",
        lambda b: query(b, "Sent").update(expr=query(b, "Sent")["expr"].replace(":doublequote", ":raw")),
        "parse error",
    ),
    "a variable of another label": (
        "now",
        lambda b: b["templating"]["list"][2].update(query="label_values(fakedirty_build_info, job)"),
        "variable instance: ",
    ),
    "a data source of another kind": (
        "now", lambda b: b["templating"]["list"][0].update(query="loki"), "no data source",
    ),
    "an annotation titled by a label that there is not": (
        "now", lambda b: b["annotations"]["list"][0].update(titleFormat="{{name}} migrates"), "annotation Migrations: ",
    ),
    # at seconds which those of the test are not, but for one in seventy
    "an annotation that looks at other times": (
        "now", lambda b: b["annotations"]["list"][0].update(step="1s"), "annotation Migrations: ",
    ),
    "a panel that nothing is expected of": (
        "now", lambda b: panel(b, "Sent").update(title="Sent so far"), "panels: ",
    ),
}  # fmt: skip

#: the same of a verdict that stands
BREAKING_A_VERDICT: dict[str, Broken] = {
    "a time that is no number": (
        "now", lambda b: property_of(b, TABLE, "takes", "mappings").update(value=[]), f"{TABLE}: ",
    ),
    "no time where there is none": (
        "now", lambda b: without_its_end(query_of(b, TABLE, "takes"), " or NaN"), f"{TABLE}: ",
    ),
    "a limit of nobody": (
        "migration",
        lambda b: query_of(b, LIMIT, "limit, {{source}}").update(legendFormat="limit"),
        f"{LIMIT}: ",
    ),
    "limits of the worst case": (
        "migration",
        lambda b: query_of(b, LIMIT, "needed, {{plan}}").update(
            expr=query_of(b, LIMIT, "needed, {{plan}}")["expr"].replace("expected", "high")
        ),
        f"{LIMIT}: ",
    ),
}  # fmt: skip
