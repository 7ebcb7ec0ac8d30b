"""The JSON of every dashboard is what Grafana's own TypeScript types allow, and nothing else is."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grafana_libraries
import pytest
from dashboard_queries import DASHBOARDS

pytestmark = pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed: apt-get install npm")

SOURCES = Path(__file__).parent / "dashboard_types"
HEAD = "import type { Board } from './types';\n\nexport const board: Board = "

Dashboard = dict[str, Any]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With Grafana's types and the compiler."""
    return grafana_libraries.project(tmp_path_factory.mktemp("types"), SOURCES)


def faults(project: Path, dashboard: Dashboard) -> str:
    """What the compiler says."""
    (project / "board.ts").write_text(f"{HEAD}{json.dumps(dashboard, indent=2)};\n")
    done = subprocess.run(["node_modules/.bin/tsc"], cwd=project, capture_output=True, text=True, check=False)
    assert (done.returncode == 0) == (not done.stdout), done.stderr
    return done.stdout


@pytest.mark.parametrize("dashboard", DASHBOARDS.values(), ids=DASHBOARDS)
def test_the_types_are_right(dashboard: Dashboard, project: Path) -> None:
    assert not faults(project, dashboard)


def first(kind: str, dashboard: Dashboard) -> dict[str, Any]:
    """The first panel of a kind."""
    found: dict[str, Any] = next(panel for panel in dashboard["panels"] if panel["type"] == kind)
    return found


BREAKING: dict[str, Callable[[Dashboard], object]] = {
    "a member that there is not": lambda board: board.update(titel="a"),
    "a number as text": lambda board: board["panels"][0]["gridPos"].update(w="12"),
    "a kind of panel that there is not": lambda board: board["panels"][0].update(type="statistics"),
    "an option of another panel": lambda board: first("stat", board)["options"].update(showHeader=True),
    "a word that is none of them": lambda board: first("stat", board)["options"].update(colorMode="values"),
    "a field of another panel": lambda board: first("timeseries", board)["fieldConfig"]["defaults"]["custom"].update(
        cellOptions={}
    ),
    "a variable without a name": lambda board: board["templating"]["list"][0].pop("name"),
    "a variable of no kind": lambda board: board["templating"]["list"][0].update(type="data"),
    "an annotation without a colour": lambda board: board["annotations"]["list"][0].pop("iconColor"),
    "a link without tags": lambda board: board["links"][0].pop("tags"),
    "a query without an expression": lambda board: board["panels"][0]["targets"][0].pop("expr"),
    "a null": lambda board: board["panels"][0].update(description=None),
}


@pytest.mark.parametrize("breaks", BREAKING.values(), ids=BREAKING)
def test_what_is_wrong_is_found(breaks: Callable[[Dashboard], object], project: Path) -> None:
    dashboard = copy.deepcopy(DASHBOARDS["now"])
    breaks(dashboard)
    assert "error TS" in faults(project, dashboard)
