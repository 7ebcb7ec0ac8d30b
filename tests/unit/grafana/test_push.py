"""``fakedirty dashboards`` against an endpoint that holds each request against Grafana's HTTP API."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path
from typing import Any

import pytest
from certificates import certificate, needs_openssl
from fakedirty.cli.main import main
from fakedirty.errors import UsageError
from fakedirty.grafana.address import parse_url
from fakedirty.grafana.dashboards import boards
from grafana_server import TOKEN, Grafana, serving

JSON = Path(__file__).parents[3] / "dashboards/json"
PROMETHEUS = ("--prometheus", "http://127.0.0.1:9090")


@pytest.fixture
def token(tmp_path: Path) -> str:
    """A file with the right one."""
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    return str(file)


def pushed(capsys: pytest.CaptureFixture[str], url: str, token: str, *words: str) -> dict[str, Any]:
    """What came of it, by what it was done to."""
    assert main(["dashboards", "push", "--url", url, "--token-file", token, "--json", *words]) == 0
    result = json.loads(capsys.readouterr().out)
    return {f"{step['kind']} {step['name']}": step["action"] for step in result["steps"]}


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The error of a push that fails."""
    assert main(["dashboards", "push", *words]) in (1, 2)
    printed = capsys.readouterr()
    assert TOKEN not in printed.out + printed.err
    assert "Traceback" not in printed.err
    return printed.err


@pytest.mark.parametrize("prefix", ["", "/monitoring/grafana"])
def test_twice_is_once(prefix: str, token: str, capsys: pytest.CaptureFixture[str]) -> None:
    grafana = Grafana(prefix)
    with serving(grafana) as url:
        first = pushed(capsys, url, token, *PROMETHEUS)
        assert set(first.values()) == {"created"}
        assert list(first) == [
            *("data source fakedirty Prometheus", "folder fakedirty"),
            *(f"dashboard {board.title}" for board in boards()),
        ]
        changes = len(grafana.changes)
        assert changes == 2 + 4
        again = pushed(capsys, f"{url}/", token, *PROMETHEUS)
        assert set(again.values()) == {"unchanged"}
        assert len(grafana.changes) == changes
    assert not grafana.faults
    sent = {request.body["dashboard"]["uid"]: request.body for request in grafana.requests if "db" in request.path}
    for path in JSON.iterdir():
        content = json.loads(path.read_text())
        assert sent[content["uid"]]["dashboard"] == content
        assert sent[content["uid"]]["folderUid"] == grafana.folders[0]["uid"]


def test_what_differs_is_put_right(token: str, capsys: pytest.CaptureFixture[str]) -> None:
    grafana = Grafana()
    with serving(grafana) as url:
        pushed(capsys, url, token, *PROMETHEUS)
        grafana.datasources["fakedirty-prometheus"]["jsonData"]["timeInterval"] = "30s"
        grafana.datasources["fakedirty-prometheus"]["basicAuth"] = True
        grafana.versions["fakedirty-now"].append({"version": 2, "message": "made it mine"})
        grafana.dashboards["fakedirty-ab"]["meta"]["folderUid"] = "elsewhere"
        again = pushed(capsys, url, token, *PROMETHEUS)
    assert not grafana.faults
    assert {name for name, action in again.items() if action == "updated"} == {
        "data source fakedirty Prometheus",
        "dashboard Migrations now",
        "dashboard A/B: skip on against off",
    }
    assert grafana.datasources["fakedirty-prometheus"]["jsonData"]["timeInterval"] == "2s"
    assert grafana.datasources["fakedirty-prometheus"]["basicAuth"], "what is not ours stays"


def test_a_dry_run_changes_nothing(token: str, capsys: pytest.CaptureFixture[str]) -> None:
    grafana = Grafana()
    with serving(grafana) as url:
        assert set(pushed(capsys, url, token, "--dry-run", *PROMETHEUS).values()) == {"created"}
        assert not grafana.changes
        pushed(capsys, url, token, *PROMETHEUS)
        changes = len(grafana.changes)
        grafana.versions["fakedirty-now"].clear()
        assert main(["dashboards", "push", "--url", url, "--token-file", token, "--dry-run"]) == 0
        assert "dashboard Migrations now: would be updated, " in capsys.readouterr().out
        assert len(grafana.changes) == changes
    assert not grafana.faults


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((400, {"status": "ERROR", "message": "dial tcp 127.0.0.1:9090: connection refused"}), "connection refused"),
        ((200, {"status": "ERROR", "message": "this is no Prometheus"}), "this is no Prometheus"),
        ((404, {"message": "Plugin not found"}), ""),
    ],
)
def test_a_prometheus_that_is_down_is_reported(
    answer: tuple[int, object], message: str, token: str, capsys: pytest.CaptureFixture[str]
) -> None:
    health = ("GET", "/api/datasources/uid/fakedirty-prometheus/health")
    with serving(Grafana(answers={health: [answer]})) as url:
        assert main(["dashboards", "push", "--url", url, "--token-file", token, *PROMETHEUS]) == 0
    error = capsys.readouterr().err
    assert bool(error) == bool(message)
    assert message in error


def test_a_prometheus_that_is_there_is_enough(token: str, capsys: pytest.CaptureFixture[str]) -> None:
    grafana = Grafana()
    with serving(grafana) as url:
        assert "name one with --prometheus" in refused(capsys, "--url", url, "--token-file", token)
        grafana.datasources["mine"] = {"uid": "mine", "name": "Mine", "type": "prometheus"}
        assert pushed(capsys, url, token)["data source Mine"] == "unchanged"
    assert list(grafana.datasources) == ["mine"]


def test_the_folder_is_found_by_its_name(token: str, capsys: pytest.CaptureFixture[str]) -> None:
    name = 'QEMU "live"/ümlaut <b>'
    grafana = Grafana(folders=[{"uid": "other", "title": "other"}, {"uid": "q", "title": name}])
    with serving(grafana) as url:
        assert pushed(capsys, url, token, *PROMETHEUS, "--folder", name)[f"folder {name}"] == "unchanged"
    assert {each["meta"]["folderUid"] for each in grafana.dashboards.values()} == {"q"}


@pytest.mark.parametrize("how", ["argument", "environment"])
def test_ways_to_give_a_token(how: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["--token", TOKEN] if how == "argument" else []
    if how == "environment":
        monkeypatch.setenv("FAKEDIRTY_GRAFANA_TOKEN", TOKEN)
    with serving(Grafana()) as url:
        assert main(["dashboards", "push", "--url", url, *words, *PROMETHEUS]) == 0
    printed = capsys.readouterr()
    assert TOKEN not in printed.out + printed.err


def test_without_a_token_no_request_is_sent(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FAKEDIRTY_GRAFANA_TOKEN", raising=False)
    grafana = Grafana()
    with serving(grafana) as url:
        assert "needs a token" in refused(capsys, "--url", url)
    assert not grafana.requests


@pytest.mark.parametrize("content", ["", "two words", "line\nbreak", "t\N{LATIN SMALL LETTER O WITH DIAERESIS}ken"])
def test_tokens_that_are_none(content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "bad"
    file.write_text(content)
    error = refused(capsys, "--url", "http://127.0.0.1:1", "--token-file", str(file))
    assert "the token for Grafana" in error
    assert not content or content not in error


@pytest.mark.parametrize("content", [None, b"t\xffken\n"])
def test_files_that_have_no_token(content: bytes | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "bad"
    if content is not None:
        file.write_bytes(content)
    assert "cannot read the token" in refused(capsys, "--url", "http://127.0.0.1:1", "--token-file", str(file))


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((401, {"message": "Invalid API key"}), "does not know this token"),
        ((403, {"message": "You'll need additional permissions"}), "does not let this token do that"),
        ((500, {"message": "database is locked"}), "status 500 (its message: database is locked)"),
        ((502, "<html>bad gateway</html>"), "status 502"),
        ((200, "<html>welcome</html>"), "is not a Grafana"),
        ((200, ["something else"]), "is not a Grafana"),
    ],
)
@pytest.mark.parametrize("where", [("GET", "/api/health"), ("POST", "/api/folders"), ("POST", "/api/dashboards/db")])
def test_refusals(
    answer: tuple[int, object], message: str, where: tuple[str, str], token: str, capsys: pytest.CaptureFixture[str]
) -> None:
    grafana = Grafana(answers={where: [answer]})
    with serving(grafana) as url:
        error = refused(capsys, "--url", url, "--token-file", token, *PROMETHEUS)
    assert message in error
    assert url in error
    assert error.count("\n") == 1


def test_a_wrong_token(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "old"
    file.write_text("glsa_old")
    with serving(Grafana()) as url:
        error = refused(capsys, "--url", url, "--token-file", str(file), *PROMETHEUS)
    assert "does not know this token" in error
    assert "glsa_old" not in error


def test_what_is_provisioned_is_left_alone(token: str, capsys: pytest.CaptureFixture[str]) -> None:
    grafana = Grafana()
    with serving(grafana) as url:
        pushed(capsys, url, token, *PROMETHEUS)
        grafana.dashboards["fakedirty-ab"]["meta"]["provisioned"] = True
        grafana.versions["fakedirty-ab"].clear()
        changes = len(grafana.changes)
        assert "provisioned from a file" in refused(capsys, "--url", url, "--token-file", token, *PROMETHEUS)
        grafana.datasources["fakedirty-prometheus"] |= {"readOnly": True, "url": "http://elsewhere"}
        assert "provisioned from a file" in refused(capsys, "--url", url, "--token-file", token, *PROMETHEUS)
        assert len(grafana.changes) == changes


def test_nobody_answers(token: str, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    error = refused(capsys, "--url", f"http://127.0.0.1:{port}", "--token-file", token)
    assert f"no answer from http://127.0.0.1:{port}/" in error
    assert "refused" in error
    assert "no answer" in refused(capsys, "--url", "http://grafana.invalid", "--token-file", token)


@needs_openssl
def test_over_tls(token: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pair = certificate(tmp_path, "grafana")
    grafana = Grafana()
    with serving(grafana, pair) as url:
        error = refused(capsys, "--url", url, "--token-file", token, *PROMETHEUS)
        assert "cannot be verified" in error
        assert not grafana.requests
        assert set(pushed(capsys, url, token, *PROMETHEUS, "--ca", str(pair.certificate)).values()) == {"created"}
        assert "cannot read" in refused(capsys, "--url", url, "--token-file", token, "--ca", str(tmp_path / "none"))
        plain = url.replace("https", "http")
        assert "no answer" in refused(capsys, "--url", plain, "--token-file", token)
    with serving(Grafana()) as url:
        error = refused(capsys, "--url", url.replace("http", "https"), "--token-file", token)
        assert re.search("cannot be verified|no answer", error)


@pytest.mark.parametrize(
    "url",
    [
        "grafana",
        "ftp://host",
        "http://",
        "http://host:99999",
        "http://admin:secret@host",
        "http://host/?orgId=2",
        "http://admin@host",
        "http://:secret@host",
        "http://host/#part",
    ],
)
def test_urls_that_are_none(url: str) -> None:
    with pytest.raises(UsageError) as error:
        parse_url(url)
    assert "secret" not in str(error.value)


def test_urls() -> None:
    assert str(parse_url("https://grafana.example")) == "https://grafana.example/"
    assert str(parse_url("http://127.0.0.1:3000/a/b/")) == "http://127.0.0.1:3000/a/b/"
    assert str(parse_url("http://[::1]:3000")) == "http://[::1]:3000/"
    assert [parse_url(f"{scheme}://grafana.example").port for scheme in ("http", "https")] == [80, 443]


def test_they_are_listed_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dashboards", "list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [each["file"] for each in listed] == sorted(path.name for path in JSON.iterdir())
    assert main(["dashboards", "list"]) == 0
    assert all(each["title"] in capsys.readouterr().out for each in listed[:1])
    there = tmp_path / "new" / "directory"
    assert main(["dashboards", "export", str(there)]) == 0
    assert {path.name: path.read_text() for path in there.iterdir()} == {
        path.name: path.read_text() for path in JSON.iterdir()
    }
    capsys.readouterr()
    assert main(["dashboards", "export", str(there / "now.json")]) == 2
    assert "cannot write" in capsys.readouterr().err
