"""The daemon's page: what it shows of migrations, its responses, and that nothing gets in or out."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import socket
import struct
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from email.message import Message
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from certificates import web_config
from fakedirty.cli.main import main
from fakedirty.export.host import AttachedCounts
from fakedirty.model.enums import Kind
from fakedirty.model.events import EventsLost, GuestStopped, RoundEnded, StateChanged
from fakedirty.model.migration import Migration
from fakedirty.record.recorder import Recorder
from fakedirty.web.server import serve
from fakedirty.web.ui import assets, live_migrations, recorded
from fakedirty.web.ui.documents import ROUNDS_LISTED, details
from fakedirty.web.ui.live_migrations import LiveMigrations, key_of
from fakedirty.web.ui.plot_columns import MOST_ROUNDS, rounds_series, sums_series
from fakedirty.web.ui.recorded import Recorded
from fakedirty.web.ui.routes import page_routes
from made_migrations import EVENTS, LOSS, SECOND, START, again, bulk, made, tell, unseen

PACKAGE = Path(assets.__file__).parent
TRACES = Path(__file__).parents[2] / "traces"
NASTY = "<img src=x onerror=alert(1)>\"' ü/\\ &amp; \udcff"


@dataclass
class Served:
    """A page at `root` of the migrations in `live`, of recordings in `out`, and of what is `attached`."""

    root: str
    live: LiveMigrations
    out: Path
    attached: list[AttachedCounts] = field(default_factory=list)

    def fetch(self, path: str, **headers: str) -> tuple[int, Message, bytes]:
        request = urllib.request.Request(f"{self.root}{path}", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers, error.read()

    def state(self) -> dict[str, Any]:
        shown: dict[str, Any] = json.loads(self.fetch("/page/state.json")[2])
        return shown

    def of(self, key: str, what: str = "migration") -> dict[str, Any]:
        code, _, body = self.fetch(f"/page/{what}.json?key={key}")
        assert code == 200, body
        shown: dict[str, Any] = json.loads(body)
        return shown


@contextmanager
def page(out: Path, users: Path | None = None) -> Iterator[Served]:
    served = Served("", LiveMigrations(), out)
    routes = page_routes(served.live, out, lambda: served.attached, "host.example")
    with serve(routes, port=0, web_config=users) as served.root:
        yield served


def many(count: int) -> Migration:
    """Rounds of 30 ms each."""
    migration = made()
    migration.apply(RoundEnded(START, bulk()))
    for number in range(2, count + 1):
        r = replace(again(number, skip=False), start_seconds=4.25 + 0.03 * number, duration_seconds=0.03)
        migration.apply(RoundEnded(START, r))
    return migration


def test_before_the_first_migration(tmp_path: Path) -> None:
    with page(tmp_path / "none") as served:
        assert served.state()["migrations"] == []
        served.attached.append(AttachedCounts("web", 4711, "stock", 5))
        state = served.state()
        assert (state["attached"], state["host"], state["broken"]) == (["web"], "host.example", [])


def test_files_are_the_daemons_own_and_asked_for_once(tmp_path: Path) -> None:
    with page(tmp_path) as served:
        for path, asset in assets.ASSETS.items():
            code, headers, body = served.fetch(path)
            assert (code, headers["Content-Type"]) == (200, asset.content_type)
            code, headers, zipped = served.fetch(path, **{"Accept-Encoding": "gzip"})
            assert (headers["Content-Encoding"], gzip.decompress(zipped)) == ("gzip", body)
            code, again_, rest = served.fetch(path, **{"If-None-Match": headers["ETag"]})
            assert (code, rest, again_["ETag"], again_["Content-Length"]) == (304, b"", headers["ETag"], None)
        assert b"Bokeh" in served.fetch("/page/bokeh.js")[2]
        nowhere = ("/page/", "/page/page.py", "/page/../page.js", "/page/state", "/bokeh.js")
        assert {served.fetch(path)[0] for path in nowhere} == {404}


def test_nothing_is_let_in_from_elsewhere(tmp_path: Path) -> None:
    tell(made(), [Recorder(tmp_path, "r")])
    with page(tmp_path) as served:
        [entry] = served.state()["migrations"]
        dynamic = [f"/page/{what}.json?key={entry['key']}" for what in ("migration", "ram")]
        for path in (*assets.ASSETS, "/page/state.json", "/page/plots.json?theme=dark", *dynamic):
            code, headers, _ = served.fetch(path)
            policy = dict(part.partition(" ")[::2] for part in headers["Content-Security-Policy"].split("; "))
            assert code == 200
            assert (policy["default-src"], policy["script-src"], policy["connect-src"]) == (
                "'none'",
                "'self'",
                "'self'",
            )
            assert {word for value in policy.values() for word in value.split()} <= {
                *("'self'", "'none'", "'unsafe-inline'", "data:", "'script'"),
            }, "no other origin is named"
            assert "unsafe" not in policy["script-src"]
            assert headers["X-Content-Type-Options"] == "nosniff"
    text = "".join(path.read_text() for path in PACKAGE.glob("page.*"))
    assert not re.search(r"https?://|innerHTML|insertAdjacentHTML|document\.write|\son\w+=|style=", text)


def test_every_part_that_the_script_fills_is_there() -> None:
    html, script = ((PACKAGE / name).read_text() for name in ("page.html", "page.js"))
    ids = set(re.findall(r'\bid="([\w-]+)"', html))
    named = set(re.findall(r'\b(?:at|setText|away)\("([\w-]+)"', script))
    assert named
    assert named <= ids
    assert {f"plot-{name}" for name in ("pages", "bytes", "ram", "downtime")} <= ids


def test_who_may_not_scrape_may_not_look(tmp_path: Path) -> None:
    with page(tmp_path, web_config(tmp_path / "web.yml", me="right")) as served:
        for path in ("/", "/page/state.json", "/page/bokeh.js", "/page/migration.json?key=x", "/page/page.js"):
            assert served.fetch(path)[0] == 401


def test_one_that_runs_is_shown_as_it_goes(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, "r")
    with page(tmp_path) as served:
        migration = made("web")
        for sink in (recorder, served.live):
            sink.started(migration)
        [entry] = served.state()["migrations"]
        assert (entry["vm"], entry["state"], entry["running"], entry["rounds"]) == ("web", "active", True, 0)
        first = served.of(entry["key"])
        assert (first["rows"], first["verdict"]) == ([], "No round has ended yet.")
        for event in EVENTS[:5]:
            migration.apply(event)
            recorder.changed(migration, event)
        [later] = served.state()["migrations"]
        assert later["stamp"] != entry["stamp"]
        assert later["rounds"] == 2
        second = served.of(entry["key"])
        assert second["stamp"] == later["stamp"]
        assert "of what is sent again has not changed" in second["verdict"]
        assert dict(second["verdict_numbers"])["dirty pages that a round leaves"] == "64,990"
        assert second["marks"] == {"seconds": [0.0, 5.0], "word": ["observe", "skip"]}
        for event in EVENTS[5:]:
            migration.apply(event)
            recorder.changed(migration, event)
        for sink in (recorder, served.live):
            sink.ended(migration)
        [over] = served.state()["migrations"]
        assert (over["state"], over["running"], over["total"]) == ("completed", False, "6.90 s")
        assert dict(served.of(entry["key"])["numbers"])["saved by skip"] == "492 MB"


def test_one_of_a_service_before_is_shown_as_if_it_had_been_observed(tmp_path: Path) -> None:
    migration = tell(made("web"), [Recorder(tmp_path, "r")])
    key = key_of("web", "m1")
    with page(tmp_path) as served:
        from_disk = served.of(key)
        assert [each["key"] for each in served.state()["migrations"]] == [key]
        served.live.started(migration)
        served.live.ended(migration)
        assert [each["key"] for each in served.state()["migrations"]] == [key], "not twice"
        live = served.of(key)
    assert {**from_disk, "stamp": ""} == {**live, "stamp": ""}


@pytest.mark.parametrize("trace", sorted(path.stem for path in TRACES.glob("*.trace")))
def test_what_every_level_recorded_is_shown(trace: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["replay", str(TRACES / f"{trace}.trace"), "--out", str(tmp_path), "--json"])
    capsys.readouterr()
    with page(tmp_path) as served:
        state = served.state()
        assert (len(state["migrations"]), state["broken"]) == (2, [])
        for entry in state["migrations"]:
            shown = served.of(entry["key"])
            assert len(shown["rows"]) == entry["rounds"] > 1
            unclassified = any(shown["rounds"]["unclassified_top"])
            assert unclassified == (trace == "qmp-stock")
            assert any(any(shown["rounds"][f"{name}_top"]) for name in ("first", "changed", "fake")) != unclassified
            assert bool(served.of(entry["key"], "ram")) == trace.startswith("patched")


def test_what_is_not_seen_is_not_drawn_as_nothing() -> None:
    migration = made()
    migration.apply(RoundEnded(START, unseen()))
    migration.apply(RoundEnded(START, replace(unseen(2, Kind.ITERATIVE), normal_pages=7, zero_pages=2)))
    rounds, sums = rounds_series(migration), sums_series(migration)
    for name in ("first", "changed", "fake"):
        assert rounds[f"{name}_top"] == rounds[f"{name}_bottom"] == [None, None]
    assert (rounds["unclassified_bottom"], rounds["unclassified_top"]) == ([None, 0], [None, 9])
    assert "- fake" in str(rounds["text"][1])
    assert sums["saved"] == [None, None, None]
    figures = dict(details(migration)["numbers"])
    assert (figures["saved by skip"], figures["fake pages"], figures["mode"]) == ("-", "-", "-")


def test_classes_are_stacked() -> None:
    migration = tell(made(), [])
    rounds = rounds_series(migration)
    assert rounds["first_top"] == [132_613, None, None, None]
    assert (rounds["changed_bottom"][1:], rounds["changed_top"][1:]) == ([0] * 3, [5_000] * 3)
    assert (rounds["fake_bottom"][1:], rounds["fake_top"][1:]) == ([5_000] * 3, [65_000] * 3)
    assert sums_series(migration)["saved"] == [0, 0, 0, 246, 492]


def test_one_round(tmp_path: Path) -> None:
    with page(tmp_path) as served:
        served.live.started(many(1))
        shown = served.of(key_of("vm", "m1"))
        assert (len(shown["rows"]), shown["verdict"][:14]) == (1, "No verdict yet")


def test_a_thousand_rounds_and_more_are_bounded(tmp_path: Path) -> None:
    rounds = MOST_ROUNDS + 500
    migration = many(rounds)
    with page(tmp_path) as served:
        served.live.started(migration)
        shown = served.of(key_of("vm", "m1"))
    assert [len(shown["rounds"][name]) for name in ("left", "fake_top", "text")] == [MOST_ROUNDS] * 3
    assert len(shown["rows"]) == ROUNDS_LISTED
    assert shown["rows"][-1][0] == str(rounds)
    assert dict(shown["numbers"])["rounds"] == f"{rounds:,}"
    sent = [r.transferred_bytes or 0 for r in migration.rounds]
    assert shown["sums"]["sent"][0] == sum(sent[:500]) / 1e6, "what came before is in the sums"
    assert shown["sums"]["sent"][-1] == sum(sent) / 1e6


def test_why_it_cannot_be_believed_is_told(tmp_path: Path) -> None:
    migration = tell(made(), [], [*EVENTS[:2], *LOSS, *EVENTS[2:]])
    migration.partial = True
    for number in range(5, 9):
        migration.apply(RoundEnded(START, again(number, skip=False), flaw=f"flaw {number}"))
    notes = details(migration)["notes"]
    assert "already running" in notes[0]
    assert notes[1] == "7 events were lost (ring buffer full)."
    assert [note for note in notes if "flaw 8" in note]
    assert notes[-1].startswith("5 rounds are invalid in all")


def test_the_guest_that_arrives_here(tmp_path: Path) -> None:
    migration = replace(made(), incoming=True)
    shown = details(migration)
    assert (shown["arrived"], shown["state"], shown["verdict"]) == (True, "arrived", "")
    assert "destination" in shown["notes"][0]
    assert dict(shown["numbers"])["received"] == "-"
    migration.report = {"status": "completed", "ram": {"transferred": 2_000_000}, "postcopy-latency": 380_000}
    numbers = dict(details(migration)["numbers"])
    assert (numbers["received"], numbers["postcopy, wait for a page"]) == ("2.00 MB", "380 µs")
    assert "sent" not in numbers


def test_the_stop_of_the_guest_is_marked() -> None:
    migration = made()
    migration.apply(GuestStopped(START + 3 * SECOND))
    assert details(migration)["marks"] == {"seconds": [3.0], "word": ["stop"]}


def test_names_go_through_as_they_are(tmp_path: Path) -> None:
    """As text in JSON, which the page puts in as text: never as a part of a page, a script or an address."""
    with page(tmp_path) as served:
        served.live.started(made(NASTY))
        [entry] = served.state()["migrations"]
        assert entry["vm"] == served.of(entry["key"])["vm"] == NASTY
        assert re.fullmatch("[0-9a-f]{16}", entry["key"])
        _, headers, body = served.fetch("/page/state.json")
        assert headers["Content-Type"] == "application/json"
        assert body.isascii()


def test_a_name_that_is_no_text_is_one_migration(tmp_path: Path) -> None:
    """A command line has any bytes; what is recorded of them is text."""
    with page(tmp_path) as served:
        tell(made(NASTY), [Recorder(tmp_path, "r"), served.live])
        assert len(served.state()["migrations"]) == 1


def test_a_recording_that_cannot_be_read_is_left_out_and_named(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, "r")
    for number in range(5):
        tell(made("web", f"m{number}"), [recorder])
    cut, empty, odd, gone, whole = recorder.directories
    (cut / "migration.json").write_text('{"vm": ')
    (empty / "manifest.json").write_text("[]")
    (odd / "rounds.csv").write_text("\n\n\n")
    (odd / "migration.json").write_text('{"vm": 7}')
    (gone / "rounds.csv").write_bytes(b"\xff\xfe\n")
    (tmp_path / "web" / "20260101T000000Z-not.partial").mkdir()
    with page(tmp_path) as served:
        state = served.state()
        assert sorted(state["broken"]) == sorted(f"web/{path.name}" for path in (cut, empty, odd))
        assert {each["key"] for each in state["migrations"]} == {key_of("web", "m3"), key_of("web", "m4")}
        code, _, body = served.fetch(f"/page/migration.json?key={key_of('web', 'm3')}")
        assert (code, "cannot read" in json.loads(body)["error"]) == (422, True)
        assert served.of(key_of("web", "m4"))["state"] == "completed"
    assert whole.exists()


def test_one_that_was_cut_off_is_shown_as_far_as_it_came(tmp_path: Path) -> None:
    tell(made("web"), [Recorder(tmp_path, "r")], EVENTS[:4], end=False)
    with page(tmp_path) as served:
        [entry] = served.state()["migrations"]
        assert (entry["state"], entry["running"]) == ("unfinished", False)
        assert len(served.of(entry["key"])["rows"]) == 2


def test_the_latest_are_shown_and_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder(tmp_path, "r")
    tell(made("web", "m"), [recorder])
    [template] = recorder.directories
    for number in range(recorded.SHOWN + 20):
        copy = tmp_path / f"vm{number % 7}" / f"20260101T0000{number:02}Z-{number}"
        shutil.copytree(template, copy)
        for name in ("manifest.json", "migration.json"):
            content = json.loads((copy / name).read_text()) | {"migration_id": str(number), "vm": f"vm{number % 7}"}
            (copy / name).write_text(json.dumps(content))
    shutil.rmtree(template)
    reads: list[Path] = []
    read = recorded.json_object
    monkeypatch.setattr(recorded, "json_object", lambda file: reads.append(file) or read(file))
    now = [0.0]
    latest = Recorded(tmp_path, lambda: now[0])
    listing = latest.listing()
    assert len(listing.found) == recorded.SHOWN
    assert listing.older == 20
    assert {each.content["migration_id"] for each in listing.found.values()} == {
        str(number) for number in range(20, recorded.SHOWN + 20)
    }
    assert len(reads) == 2 * recorded.SHOWN
    now[0] += recorded.LOOK_SECONDS
    assert latest.listing() == listing
    assert len(reads) == 2 * recorded.SHOWN, "what has not changed is not read again"
    shutil.rmtree(next(iter(listing.found.values())).directory)
    now[0] += recorded.LOOK_SECONDS
    assert (len(latest.listing().found), latest.listing().older) == (recorded.SHOWN, 19)


def test_the_oldest_that_are_over_are_dropped(tmp_path: Path) -> None:
    with page(tmp_path) as served:
        running = made("always", "r")
        served.live.started(running)
        for number in range(live_migrations.KEPT + 10):
            tell(made("web", str(number)), [served.live])
        keys = served.live.all().keys()
        assert len(keys) == live_migrations.KEPT
        assert key_of("always", "r") in keys
        assert key_of("web", "0") not in keys
        state = served.state()
        assert state["migrations"][0]["vm"] == "always"
        assert len(state["migrations"]) == live_migrations.KEPT


def test_what_is_not_known_is_refused(tmp_path: Path) -> None:
    with page(tmp_path) as served:
        for path in ("migration.json", "migration.json?key=", "migration.json?key=../x", "ram.json?key=0", "ram.json"):
            code, headers, body = served.fetch(f"/page/{path}")
            assert (code, headers["Content-Type"]) == (404, "application/json")
            assert json.loads(body)["error"]
        assert served.fetch("/page/plots.json?theme=blue")[0] == 404


def test_figures_are_empty_and_have_their_sources(tmp_path: Path) -> None:
    with page(tmp_path) as served:
        for theme in ("light", "dark"):
            plots = json.loads(served.fetch(f"/page/plots.json?theme={theme}")[2])
            assert set(plots) == {"pages", "bytes", "ram", "downtime"}
            text = json.dumps(plots)
            assert all(
                f'"name": "{name}"' in text for name in ("rounds", "sums", "marks", "ram", "unclassified in legend")
            )
            assert "CustomJS" not in text, "which would need eval"


def test_one_response_of_a_kind_is_made_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another client of the same kind is refused after a while, and nobody waits who asks for something else."""
    began, go = threading.Event(), threading.Event()

    def slow() -> list[AttachedCounts]:
        began.set()
        assert go.wait(20)
        return []

    monkeypatch.setattr("fakedirty.web.ui.routes.PATIENCE_SECONDS", 0.01)
    with serve(page_routes(LiveMigrations(), tmp_path, slow, "host.example"), port=0) as url:
        served = Served(url, LiveMigrations(), tmp_path)
        first: list[int] = []
        thread = threading.Thread(target=lambda: first.append(served.fetch("/page/state.json")[0]))
        thread.start()
        assert began.wait(20)
        code, _, body = served.fetch("/page/state.json")
        assert (code, json.loads(body)) == (503, {"error": "another request is being answered: ask again"})
        assert served.fetch("/page/plots.json?theme=light")[0] == 200
        go.set()
        thread.join()
    assert first == [200]


def test_a_browser_that_leaves_in_the_middle_disturbs_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with page(tmp_path) as served:
        served.live.started(many(MOST_ROUNDS))
        for path in ("/page/bokeh.js", f"/page/migration.json?key={key_of('vm', 'm1')}") * 5:
            place = urlsplit(served.root)
            with socket.create_connection((place.hostname, place.port), timeout=20) as link:
                link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                link.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                assert link.recv(100).startswith(b"HTTP/1.1 200")
                link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            assert served.fetch("/page/state.json")[0] == 200
    assert not caplog.text
    assert capfd.readouterr() == ("", "")


def test_a_loss_and_a_state_change_the_stamp() -> None:
    live = LiveMigrations()
    migration = made()
    live.started(migration)
    [seen] = live.all().values()
    stamps = [seen.stamp]
    for event in (EventsLost(START, 1, "table full"), StateChanged(START, "completed"), EVENTS[2], EVENTS[1]):
        migration.apply(event)
        stamps.append(seen.stamp)
    live.ended(migration)
    stamps.append(seen.stamp)
    assert len(set(stamps)) == len(stamps)
