"""An endpoint that answers as Grafana's HTTP API documents it, and holds each request against that.

It keeps data sources, folders, dashboards with their versions, and annotations in memory. What a request has wrong is
in `faults`, and answered with 400.
"""

from __future__ import annotations

import json
import re
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from certificates import Pair

TOKEN = "glsa_0123456789abcdefghijABCDEFGHIJ_01234567"

Answer = tuple[int, object]


@dataclass(frozen=True, slots=True)
class Request:
    """As it came."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    body: Any


#: the members of each body, with their types; those in brackets may be left out
BODIES: dict[str, dict[str, type | tuple[type, ...]]] = {
    "datasource": {
        "name": str,
        "type": str,
        "url": str,
        "access": str,
        "uid": str,
        "jsonData": dict,
        "[id]": int,
        "[version]": int,
        "[readOnly]": bool,
        "[basicAuth]": bool,
    },
    "folder": {"title": str, "[uid]": str},
    "dashboard": {"dashboard": dict, "folderUid": str, "message": str, "overwrite": bool},
    "annotation": {
        "time": int,
        "timeEnd": (int, type(None)),
        "tags": list,
        "text": str,
        "[panelId]": (int, type(None)),
        "[dashboardUID]": str,
    },
}


@dataclass
class Grafana:
    """What it has, and what it was asked. `answers` overrides an answer by method and path, once for each there is."""

    prefix: str = ""
    token: str = TOKEN
    datasources: dict[str, dict[str, Any]] = field(default_factory=dict)
    folders: list[dict[str, Any]] = field(default_factory=list)
    dashboards: dict[str, dict[str, Any]] = field(default_factory=dict)
    versions: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    annotations: list[dict[str, Any]] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    answers: dict[tuple[str, str], list[Answer]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def changes(self) -> list[str]:
        """Requests that change something."""
        return [f"{each.method} {each.path}" for each in self.requests if each.method != "GET"]

    def answer(self, request: Request, headers: Mapping[str, str]) -> Answer:
        """As it documents."""
        self.requests.append(request)
        if waiting := self.answers.get((request.method, request.path)):
            return waiting.pop(0)
        if request.path == "/api/health":
            return 200, {"commit": "0", "database": "ok", "version": "11.4.0"}
        if headers.get("Authorization") != f"Bearer {self.token}":
            return 401, {"message": "Invalid API key", "messageId": "api-key.invalid", "statusCode": 401}
        for method, pattern, handle in ROUTES:
            if request.method == method and (found := re.fullmatch(pattern, request.path)):
                return handle(self, request, *found.groups())
        self.faults.append(f"{request.method} {request.path}: not documented")
        return 404, {"message": "Not found"}

    def wrong(self, request: Request, kind: str) -> bool:
        """Whether the body is not one of this kind."""
        members = BODIES[kind]
        names = {name.strip("[]"): types for name, types in members.items()}
        body = request.body if isinstance(request.body, dict) else {}
        wrong = [f"{name}: missing" for name in members if name[0] != "[" and name not in body]
        wrong += [f"{name}: not documented" for name in body if name not in names]
        wrong += [
            f"{name}: {body[name]!r}" for name in body if name in names and not isinstance(body[name], names[name])
        ]
        self.faults += [f"{request.method} {request.path}: {each}" for each in wrong]
        return bool(wrong)


BAD: Answer = (400, {"message": "bad request data"})


def get_datasources(grafana: Grafana, request: Request) -> Answer:
    return 200, list(grafana.datasources.values())


def get_datasource(grafana: Grafana, request: Request, uid: str) -> Answer:
    if uid in grafana.datasources:
        return 200, grafana.datasources[uid]
    return 404, {"message": "Data source not found"}


def add_datasource(grafana: Grafana, request: Request) -> Answer:
    if grafana.wrong(request, "datasource"):
        return BAD
    if request.body["name"] in {each["name"] for each in grafana.datasources.values()}:
        return 409, {"message": "data source with the same name already exists"}
    made = {"id": len(grafana.datasources) + 1, "version": 1, "readOnly": False, "basicAuth": False, **request.body}
    grafana.datasources[made["uid"]] = made
    return 200, {"datasource": made, "id": made["id"], "message": "Datasource added", "name": made["name"]}


def put_datasource(grafana: Grafana, request: Request, uid: str) -> Answer:
    if grafana.wrong(request, "datasource"):
        return BAD
    grafana.datasources[uid] = {**request.body, "version": request.body["version"] + 1}
    return 200, {"datasource": request.body, "id": 1, "message": "Datasource updated", "name": request.body["name"]}


def get_health(grafana: Grafana, request: Request, uid: str) -> Answer:
    return 200, {"status": "OK", "message": "Successfully queried the Prometheus API."}


def get_folders(grafana: Grafana, request: Request) -> Answer:
    if set(request.query) - {"limit", "page", "parentUid", "permission"}:
        grafana.faults.append(f"GET /api/folders: {request.query}")
    return 200, grafana.folders


def add_folder(grafana: Grafana, request: Request) -> Answer:
    if grafana.wrong(request, "folder"):
        return BAD
    made = {"id": len(grafana.folders) + 1, "uid": f"f{len(grafana.folders)}", "title": request.body["title"]}
    grafana.folders.append(made)
    return 200, {**made, "version": 1}


def get_dashboard(grafana: Grafana, request: Request, uid: str) -> Answer:
    if uid in grafana.dashboards:
        return 200, grafana.dashboards[uid]
    return 404, {"message": "Dashboard not found"}


def get_versions(grafana: Grafana, request: Request, uid: str) -> Answer:
    """Of Grafana 11 and later; before, the list stood alone."""
    limit = int(request.query.get("limit", ["1000"])[0])
    return 200, {"continueToken": "", "versions": grafana.versions[uid][::-1][:limit]}


def add_dashboard(grafana: Grafana, request: Request) -> Answer:
    """It is kept in another form than it was given, as a new Grafana does with an old schema."""
    if grafana.wrong(request, "dashboard"):
        return BAD
    content = request.body["dashboard"]
    if request.body["folderUid"] not in {folder["uid"] for folder in grafana.folders}:
        return 400, {"message": "folder not found"}
    if grafana.dashboards.get(content["uid"], {}).get("meta", {}).get("provisioned"):
        return 400, {"message": "Cannot save provisioned dashboard"}
    versions = grafana.versions.setdefault(content["uid"], [])
    versions.append({"id": len(versions), "version": len(versions) + 1, "message": request.body["message"]})
    kept = {**content, "id": 7, "version": len(versions), "schemaVersion": 41}
    meta = {"folderUid": request.body["folderUid"], "provisioned": False, "version": len(versions)}
    grafana.dashboards[content["uid"]] = {"dashboard": kept, "meta": meta}
    return 200, {
        "id": 7,
        "uid": content["uid"],
        "status": "success",
        "version": len(versions),
        "url": "/d/x",
        "slug": "x",
    }


def add_annotation(grafana: Grafana, request: Request) -> Answer:
    if grafana.wrong(request, "annotation"):
        return BAD
    grafana.annotations.append(request.body)
    return 200, {"message": "Annotation added", "id": len(grafana.annotations)}


ROUTES: list[tuple[str, str, Callable[..., Answer]]] = [
    ("GET", "/api/datasources", get_datasources),
    ("POST", "/api/datasources", add_datasource),
    ("GET", r"/api/datasources/uid/([\w-]+)", get_datasource),
    ("PUT", r"/api/datasources/uid/([\w-]+)", put_datasource),
    ("GET", r"/api/datasources/uid/([\w-]+)/health", get_health),
    ("GET", "/api/folders", get_folders),
    ("POST", "/api/folders", add_folder),
    ("GET", r"/api/dashboards/uid/([\w-]+)", get_dashboard),
    ("GET", r"/api/dashboards/uid/([\w-]+)/versions", get_versions),
    ("POST", "/api/dashboards/db", add_dashboard),
    ("POST", "/api/annotations", add_annotation),
]


def _handler(grafana: Grafana) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 1 << 16  # head and body of an answer go together

        def _serve(self) -> None:
            parts = urlsplit(self.path)
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            with grafana.lock:
                status, content = self._answer(parts.path, parse_qs(parts.query), raw)
            text = content if isinstance(content, str) else json.dumps(content)
            self.send_response(status)
            self.send_header("Content-Type", "text/html" if isinstance(content, str) else "application/json")
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        def _answer(self, path: str, query: Mapping[str, list[str]], raw: bytes) -> Answer:
            if not path.startswith(f"{grafana.prefix}/api/"):
                return 404, "<html>there is nothing here</html>"
            if raw and not self.headers.get("Content-Type", "").startswith("application/json"):
                grafana.faults.append(f"{path}: Content-Type {self.headers.get('Content-Type')}")
            if raw and self.command == "GET":
                grafana.faults.append(f"GET {path} has a body")
            if not self.headers.get("User-Agent", "").startswith("fakedirty/"):
                grafana.faults.append(f"{path}: User-Agent {self.headers.get('User-Agent')}")
            request = Request(self.command, path.removeprefix(grafana.prefix), query, json.loads(raw or b"null"))
            return grafana.answer(request, self.headers)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    return Handler


@contextmanager
def serving(grafana: Grafana, pair: Pair | None = None) -> Iterator[str]:
    """The URL at which it answers, over TLS if there is a certificate."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(grafana))
    server.daemon_threads = True
    if pair is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.certificate, pair.key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"{'https' if pair else 'http'}://127.0.0.1:{server.server_port}{grafana.prefix}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
