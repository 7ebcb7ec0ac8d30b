"""Sets up data source, folder and dashboards in a running Grafana, and changes only those that differ."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from grafana_client import GrafanaApi

from fakedirty.errors import GrafanaError

from .address import GrafanaAddress
from .dashboards import Dashboard
from .errors import expected, explained

DATASOURCE_UID = "fakedirty-prometheus"
DATASOURCE_NAME = "fakedirty Prometheus"
CREATED, UPDATED, UNCHANGED = "created", "updated", "unchanged"
FOLDERS = 1000  # most folders that Grafana lists in one answer


@dataclass(frozen=True, slots=True)
class Step:
    """The result for one object: `action` is created, updated or unchanged."""

    kind: str
    name: str
    action: str
    url: str = ""


@dataclass(frozen=True, slots=True)
class DesiredState:
    """The objects that Grafana shall have.

    Attributes:
        boards: dashboards.
        folder: title of their folder.
        prometheus: URL of the data source; None if any Prometheus that Grafana already has will do.
        scrape_interval: of that Prometheus.
    """

    boards: Sequence[Dashboard]
    folder: str
    prometheus: str | None = None
    scrape_interval: str = "2s"

    @property
    def datasource(self) -> dict[str, Any]:
        """The data source as an object of Grafana's API."""
        return {
            "uid": DATASOURCE_UID,
            "name": DATASOURCE_NAME,
            "type": "prometheus",
            "access": "proxy",
            "url": self.prometheus,
            "jsonData": {"timeInterval": self.scrape_interval},
        }


class Push:
    """Sets up one Grafana; with `dry_run` it only reads, and changes nothing."""

    def __init__(self, api: GrafanaApi, place: GrafanaAddress, wanted: DesiredState, *, dry_run: bool = False) -> None:
        self._api = api
        self._place = place
        self._wanted = wanted
        self._dry_run = dry_run

    def run(self) -> list[Step]:
        """Set up everything; GrafanaError at the first step that fails, with the steps before it done."""
        what = "looking for a Grafana"
        with explained(self._place, what):
            expected(self._place, what, self._api.client.GET("/health"), "database")
        steps = [self._datasource()]
        folder, step = self._folder()
        return [*steps, step, *(self._board(board, folder) for board in self._wanted.boards)]

    def fault(self) -> str:
        """Why Grafana cannot read its new data source; empty if it can, or does not report it."""
        if self._wanted.prometheus is None or self._dry_run:
            return ""
        what = f"checking that Grafana reaches {self._wanted.prometheus}"
        try:
            with explained(self._place, what):
                answer = expected(self._place, what, self._api.datasource.health(DATASOURCE_UID), "status")
        except GrafanaError as error:
            return "" if error.status in (403, 404) else str(error)
        return "" if answer["status"] == "OK" else f"{what}: {answer.get('message', answer['status'])}"

    def _datasource(self) -> Step:
        if self._wanted.prometheus is None:
            return self._any_datasource()
        wanted = self._wanted.datasource
        what = f"setting up the data source {DATASOURCE_NAME}"
        with explained(self._place, what):
            there = self._found(lambda: self._api.datasource.get_datasource_by_uid(DATASOURCE_UID))
            if there is None:
                if not self._dry_run:
                    expected(self._place, what, self._api.datasource.create_datasource(wanted), "datasource")
                return Step("data source", DATASOURCE_NAME, CREATED)
            merged = {**there, **wanted, "jsonData": {**(there.get("jsonData") or {}), **wanted["jsonData"]}}
            if merged == there:
                return Step("data source", DATASOURCE_NAME, UNCHANGED)
            if there.get("readOnly"):
                raise GrafanaError(f"{what}: it is provisioned from a file of that Grafana, with other content")
            if not self._dry_run:
                self._api.datasource.update_datasource_by_uid(DATASOURCE_UID, merged)
        return Step("data source", DATASOURCE_NAME, UPDATED)

    def _any_datasource(self) -> Step:
        what = "looking for a Prometheus among the data sources"
        with explained(self._place, what):
            found = self._api.datasource.list_datasources()
        names = [each["name"] for each in _listed(found) if each.get("type") == "prometheus"]
        if not names:
            raise GrafanaError(f"{what}: {self._place} has none: name one with --prometheus URL")
        return Step("data source", str(names[0]), UNCHANGED)

    def _folder(self) -> tuple[str | None, Step]:
        """The uid of the folder; None if it does not exist and `dry_run` creates none."""
        title = self._wanted.folder
        what = f"setting up the folder {title}"
        with explained(self._place, what):
            there = _listed(self._api.client.GET("/folders", params={"limit": FOLDERS}))
            for folder in there:
                if folder.get("title") == title:
                    return str(folder["uid"]), Step("folder", title, UNCHANGED)
            uid = None
            if not self._dry_run:
                uid = str(expected(self._place, what, self._api.folder.create_folder(title), "uid")["uid"])
        return uid, Step("folder", title, CREATED)

    def _board(self, board: Dashboard, folder: str | None) -> Step:
        what = f"setting up the dashboard {board.title}"
        with explained(self._place, what):
            there = self._found(lambda: self._api.dashboard.get_dashboard(board.uid))
            if there is not None and self._same(board, there, folder):
                return Step("dashboard", board.title, UNCHANGED, self._url(board))
            if there is not None and there["meta"].get("provisioned"):
                raise GrafanaError(f"{what}: it is provisioned from a file of that Grafana, with other content")
            if not self._dry_run:
                body = {"dashboard": board.content, "folderUid": folder, "message": board.mark, "overwrite": True}
                expected(self._place, what, self._api.dashboard.update_dashboard(body), "uid")
        return Step("dashboard", board.title, CREATED if there is None else UPDATED, self._url(board))

    def _same(self, board: Dashboard, there: Mapping[str, Any], folder: str | None) -> bool:
        """Whether Grafana has our version of the dashboard in our folder, by the mark of its latest version."""
        if there["meta"].get("folderUid") != folder:
            return False
        answer = self._api.client.GET(f"/dashboards/uid/{board.uid}/versions", params={"limit": 1})
        versions = _listed(answer.get("versions") if isinstance(answer, Mapping) else answer)
        return bool(versions) and versions[0].get("message") == board.mark

    def _found(self, request: Callable[[], object]) -> dict[str, Any] | None:
        """The object that a request returns; None if Grafana does not have it."""
        what = "reading what Grafana has"
        try:
            with explained(self._place, what):
                return dict(expected(self._place, what, request()))
        except GrafanaError as error:
            if error.status == 404:
                return None
            raise

    def _url(self, board: Dashboard) -> str:
        return f"{self._place}d/{board.uid}"


def _listed(answer: object) -> list[Mapping[str, Any]]:
    """A list of objects; empty if it is something else."""
    return [each for each in answer if isinstance(each, Mapping)] if isinstance(answer, list) else []
