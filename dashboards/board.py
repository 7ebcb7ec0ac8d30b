"""A whole dashboard: its variables, annotations, links and panels."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as model

from .cleaned import cleaned
from .links import TAG, to_the_others
from .notes import Note
from .panel import Panel, made
from .variables import Variable


@dataclass(frozen=True, slots=True)
class Board:
    """One dashboard.

    Links name the `uid`, so it never changes. The dashboard opens with the time range from `since` until now.
    """

    uid: str
    title: str
    description: str
    variables: Sequence[Variable]
    notes: Callable[[], list[Note]]
    panels: Sequence[Panel]
    since: str = "now-15m"
    refresh: str = "5s"


def _built(board: Board) -> model.Dashboard:
    whole = build.Dashboard(board.title).uid(board.uid).tags([TAG, "qemu", "migration"]).description(board.description)
    whole.time(board.since, "now").refresh(board.refresh).readonly().tooltip(model.DashboardCursorSync.CROSSHAIR)
    whole.link(to_the_others())
    for variable in board.variables:
        whole.with_variable(variable)
    for note in board.notes():
        whole.annotation(note)
    for number, panel in enumerate(board.panels, 1):
        whole.with_panel(made(panel).id(number))
    return whole.build()


def rendered(board: Board) -> str:
    """The JSON of a dashboard, as Grafana imports it."""
    made = json.loads(json.dumps(_built(board), cls=JSONEncoder))
    return json.dumps(cleaned(made), indent=2, sort_keys=True) + "\n"
