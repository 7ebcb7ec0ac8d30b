"""Every panel of every dashboard shows what it has to, by Grafana's own libraries, in Chromium, on a real Prometheus.

`tests/long/grafana` has what of Grafana is used, and docs/dashboards.md what is not.
"""

from __future__ import annotations

import copy
import json
import math
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grafana_libraries
import pytest
import yaml
from broken_dashboards import BREAKING, BREAKING_A_VERDICT, Broken
from browser import Tab, browser
from dashboard_queries import DASHBOARDS
from panel_checks import Check
from panels_expected import expected, of_verdicts
from two_hosts import RANGES, WITH, WITHOUT, TwoHosts, two_hosts

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: for BPF and network namespaces"),
    *(
        pytest.mark.skipif(shutil.which(tool) is None, reason=f"{tool} is not installed: apt-get install {tool}")
        for tool in ("chromium", "npm", "prometheus")
    ),
]

ROOT = Path(__file__).parents[2]
CHOSEN: dict[str, dict[str, str]] = {
    "now": {},
    "migration": {"vm": WITH},
    "ab": {"vm": WITH, "vm_without": WITHOUT},
    "hosts": {},
}
#: seconds between two looks at annotations: a hundredth of the range, in round figures
ANNOTATED = {"now": 10, "migration": 10, "ab": 10, "hosts": 30}


@dataclass(frozen=True)
class Grafana:
    """Its libraries, in a tab, beside a Prometheus."""

    tab: Tab
    hosts: TwoHosts
    expected: dict[str, dict[str, Check]]

    def shown(self, name: str, dashboard: dict[str, Any], **more: str) -> Any:
        """What Grafana's code makes of it."""
        request = {
            "prometheus": f"http://{self.hosts.prometheus}",
            "scrapeInterval": "2s",
            "from": _iso(self.hosts.until - RANGES[name]),
            "to": _iso(self.hosts.until),
            "chosen": {**CHOSEN[name], **more},
            "maxDataPoints": 500,
        }
        return self.tab.value(f"shown({json.dumps(dashboard)}, {json.dumps(request)})")

    def check(self, name: str, dashboard: dict[str, Any]) -> None:
        """Every panel, variable and annotation is as it should be; raises AssertionError with the first that is not."""
        shown = self.shown(name, dashboard)
        panels = shown["panels"]
        faults = {title: found for title, found in _faults(panels).items() if found}
        assert not faults, faults
        assert list(panels) == [panel["title"] for panel in dashboard["panels"]]
        assert set(panels) == set(self.expected[name]), f"panels: {list(panels)}"
        for title, panel in panels.items():
            _check_panel(title, panel, self.expected[name][title])
        check_variables(shown["variables"], self.hosts)
        check_annotations(shown["annotations"], name, self.hosts)

    def check_verdict(self, name: str, dashboard: dict[str, Any]) -> None:
        """The same of what is shown of verdicts while one stands: at the end it may have been withdrawn."""
        then = self.hosts.judged()
        panels = replace(self, hosts=then).shown(name, dashboard, vm=WITHOUT)["panels"]
        for title, check in of_verdicts(then)[name].items():
            _check_panel(title, panels[title], check)


def _check_panel(title: str, panel: dict[str, Any], check: Check) -> None:
    """Raises AssertionError that names it."""
    try:
        check(panel["shown"])
    except (AssertionError, KeyError, TypeError, ValueError) as error:
        raise AssertionError(f"{title}: {error!r}\n{json.dumps(panel, indent=1)[:3000]}") from error


def _iso(seconds: float) -> str:
    """To the millisecond."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _faults(panels: dict[str, Any]) -> dict[str, list[str]]:
    return {
        title: [*panel["faults"], *([panel["error"]] if "error" in panel else [])] for title, panel in panels.items()
    }


def check_variables(variables: dict[str, Any], hosts: TwoHosts) -> None:
    """Each offers what there is, under its name."""

    def offered(name: str) -> list[str]:
        options = variables[name]["options"]
        assert all(each["text"] == each["value"] for each in options)
        return [each["value"] for each in options]

    assert [each["text"] for each in variables["datasource"]["options"]] == ["Prometheus"]
    assert offered("job") == ["fakedirty"]
    instances = offered("instance")
    assert instances == sorted(host.instance for host in hosts.all), f"variable instance: {instances}"
    assert (variables["job"]["text"], variables["instance"]["text"]) == ("All", "All")
    for name in {"vm", "vm_without"} & set(variables):
        assert offered(name) == sorted([WITH, WITHOUT])
    if "ago" in variables:
        steps = {each["text"]: each["value"] for each in variables["ago"]["options"]}
        assert steps == {"not at all": "1ms", **{step: step for step in ("5m", "15m", "1h", "6h", "1d", "7d")}}
        assert variables["ago"]["text"] == "not at all"


def check_annotations(annotations: dict[str, Any], name: str, hosts: TwoHosts) -> None:
    """A region for each migration, and a mark for each mode at the first look at which it is in force."""
    assert list(annotations) == ["Migrations", "Toggles"]
    look, until = ANNOTATED[name], math.ceil(hosts.until)  # Grafana looks up to a whole second
    regions, marks = [], []
    for host in (hosts.skipping,) if name == "migration" else hosts.all:
        active = [time for time, value in hosts.samples("fakedirty_migration_active", host) if value == 1]
        if seen := [when for when in _looks(active, look) if when <= until]:
            regions.append((f"{host.vm} migrates", seen[0], seen[-1], host.instance))
        for mode in ("off", "observe", "skip"):
            samples = hosts.samples("fakedirty_mode", host, fakedirty_mode=mode)
            for when in range(_looks([samples[0][0]], look)[0], until + 1, look):
                if _then(samples, when) == 1 and _then(samples, when - look) != 1:
                    marks.append((f"{host.vm}: mode {mode}", when, when, host.instance))
    for title, wanted in (("Migrations", regions), ("Toggles", marks)):
        found = sorted(_events(annotations[title]))
        assert found == sorted(wanted), f"annotation {title}: {found}, not {wanted}"
    # an hour is looked at so seldom that both may still be to be seen
    assert name == "hosts" or {f"{WITH} migrates", f"{WITH}: mode skip"} <= {title for title, *_ in regions + marks}


def _looks(times: list[float], look: int) -> list[int]:
    """At which these times are seen, each once."""
    return sorted({math.ceil(time / look) * look for time in times})


def _then(samples: list[tuple[float, float]], when: float) -> float | None:
    """The value at a time."""
    return next((value for time, value in reversed(samples) if time <= when), None)


def _events(shown: list[dict[str, Any]]) -> list[tuple[str, float, float, str]]:
    """Title, start and end in seconds, and the only tag."""
    made = []
    for each in shown:
        (tag,) = each["tags"]
        made.append((each["title"], each["time"] / 1000, each["timeEnd"] / 1000, tag))
    return made


@pytest.fixture(scope="module")
def grafana(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grafana]:
    directory = tmp_path_factory.mktemp("grafana")
    url = grafana_libraries.page(directory)
    with two_hosts(directory) as hosts, browser(directory / "profile") as tab:
        tab.open(url)
        yield Grafana(tab, hosts, expected(hosts))


@pytest.mark.parametrize("name", DASHBOARDS)
def test_every_panel_shows_what_it_has_to(name: str, grafana: Grafana) -> None:
    grafana.check(name, DASHBOARDS[name])


@pytest.mark.parametrize("name", ["now", "migration", "ab"])
def test_a_verdict_is_shown_while_it_stands(name: str, grafana: Grafana) -> None:
    then = grafana.hosts.judged().sending
    assert then.one("fakedirty_verdict_refuted") == 0
    assert then.samples("fakedirty_verdict_converges", "plan") == {("as-is",): 0, ("skip",): 0}
    grafana.check_verdict(name, DASHBOARDS[name])


def test_a_row_leads_to_the_rounds_of_its_vm(grafana: Grafana) -> None:
    table = grafana.shown("now", DASHBOARDS["now"])["panels"]["Last migration of each VM"]["shown"]
    (column,) = [each for each in table if each["name"] == "vm"]
    links = {cell["text"]: cell["link"] for cell in column["cells"]}
    since, until = _iso(grafana.hosts.until - RANGES["now"]), _iso(grafana.hosts.until)
    chosen = "var-datasource=of-the-test&var-job=$__all&var-instance=$__all"
    quoted = {WITH: "1000", WITHOUT: "we%22b%20%3Cb%3E%26%27%C3%A4%27%3C%2Fb%3E"}
    assert set(links) == set(quoted)
    for vm, link in links.items():
        assert link.startswith(f"/d/fakedirty-migration?from={since}&to={until}")
        assert link.endswith(f"&{chosen}&var-vm={quoted[vm]}")


def is_found(broken: Broken, check: Callable[[str, dict[str, Any]], None]) -> None:
    name, breaks, found = broken
    board = copy.deepcopy(DASHBOARDS[name])
    breaks(board)
    assert board != DASHBOARDS[name]
    with pytest.raises(AssertionError, match=re.escape(found)):
        check(name, board)


@pytest.mark.parametrize("broken", BREAKING)
def test_what_is_broken_is_found(broken: str, grafana: Grafana) -> None:
    is_found(BREAKING[broken], grafana.check)


@pytest.mark.parametrize("broken", BREAKING_A_VERDICT)
def test_a_verdict_that_is_shown_wrongly_is_found(broken: str, grafana: Grafana) -> None:
    is_found(BREAKING_A_VERDICT[broken], grafana.check_verdict)


def test_they_are_of_the_grafana_that_is_composed() -> None:
    [_, version] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["grafana"]["image"].split(":")
    wanted = json.loads((grafana_libraries.SOURCES / "package.json").read_text())["dependencies"]
    assert {wanted[f"@grafana/{name}"] for name in ("data", "runtime", "schema", "ui")} == {version}
    assert all(each[0].isdecimal() for each in wanted.values())


def test_the_lock_file_names_no_host() -> None:
    locked = json.loads((grafana_libraries.SOURCES / "package-lock.json").read_text())["packages"]
    assert len(locked) > 100
    for name, package in locked.items():
        assert "resolved" not in package, name
        assert not name or package["integrity"].startswith("sha512-"), name


def test_its_code_is_of_the_types_of_grafana(tmp_path: Path) -> None:
    grafana_libraries.run(grafana_libraries.project(tmp_path), "node_modules/.bin/tsc")
