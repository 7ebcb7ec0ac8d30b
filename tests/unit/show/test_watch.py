"""The screen of ``fakedirty watch``, and its lines, of migrations that nobody ran."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from fakedirty.cli.main import main
from fakedirty.format.recommendation import advised
from fakedirty.record.manifest import Clock
from fakedirty.record.rows import round_row, toggle_row
from fakedirty.record.summary import summary
from fakedirty.service import control
from fakedirty.service.watched_vms import GONE_SECONDS, WatchedVms, watched
from fakedirty.show.svg import svg
from fakedirty.show.watch import Watched, screen
from fakedirty.show.watch_lines import NewLines
from made_migrations import EVENTS, SECOND, START, made, tell
from rich.cells import cell_len
from rich.console import Console

CLOCK = Clock(0, 0)
NOW = START / SECOND + 7.25
ODD = 'web [bold]"umlaut ü</b> 名'


def vm(name: str, events: int) -> dict[str, Any]:
    """The status of the service after so many events."""
    migration = tell(replace(made(name), channels=1), [], EVENTS[:events], end=False)
    found = migration.forecast
    return {
        "vm": name,
        "pid": 4711,
        "level": "patched",
        "migrations": 1,
        "verdict": advised(found) if found else None,
        "last": summary("run", migration, CLOCK),
        "rounds": [round_row("run", migration, each) for each in migration.rounds],
        "toggles": [toggle_row("run", migration, each) for each in migration.toggles],
    }


def quiet(name: str) -> dict[str, Any]:
    return {"vm": name, "pid": 1, "level": "stock", "migrations": 0, "verdict": None, "last": None}


def drawn(vms: list[Watched], width: int = 80, height: int = 24) -> str:
    console = Console(file=StringIO(), width=width, height=height)
    console.print(screen(vms, width, height))
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_the_outcome_has_where_the_downtime_went() -> None:
    """A status of an older service has no such member."""
    over = vm("web", len(EVENTS))
    words = "The guest was stopped for 70 ms: last RAM 34 ms."
    assert watched(over | {"downtime": words}, NOW).outcome == f"{watched(over, NOW).outcome}; {words}"


def test_a_migration_fits_eighty_columns() -> None:
    text = drawn([watched(vm("web", len(EVENTS) - 2), NOW), watched(quiet("db"), NOW)])
    assert max(map(len, text.splitlines())) <= 80
    assert "web  pid 4711, level patched" in text
    assert "-- mode observe -> skip" in text
    assert "of what is sent again has not changed" in text.replace("\n  ", " ")
    assert "nothing seen of: db" in text


def test_what_would_make_it_end_is_on_the_screen_and_in_the_lines() -> None:
    """65,000 pages of 4,096 bytes in 300 ms are 887 MB/s."""
    one = watched(vm("web", 4), NOW)
    wanted = "As it is, it needs 900 MB/s "
    assert wanted in drawn([one]).replace("\n  ", " ")
    assert wanted in list(NewLines().since_last([one]))[-1]


def test_no_room_is_for_all_rounds() -> None:
    one = watched(vm("web", len(EVENTS)), NOW)
    many = replace(one, rounds=[replace(one.rounds[-1], round=number) for number in range(1, 1001)], round_count=1000)
    text = drawn([many])
    assert len(text.splitlines()) == 24
    assert "1000 swch skip" in text


@pytest.mark.parametrize("count", [1, 2, 3, 10, 40])
@pytest.mark.parametrize("height", [3, 24, 50])
def test_many_migrations_share_the_screen(count: int, height: int) -> None:
    """What migrates comes first; for whom there is no room, there is a line, or a number."""
    running = watched(vm("moving", len(EVENTS) - 2), NOW)
    over = watched(vm("over", len(EVENTS)), NOW)
    vms = [*(replace(over, vm=f"over{number:02}", pid=number) for number in range(count - 1)), running]
    lines = drawn([*vms, watched(quiet("db"), NOW)], height=height).splitlines()
    assert len(lines) <= height
    assert lines[0].startswith("moving ")
    assert lines[-1] == "nothing seen of: db"
    shown = sum(line.startswith(("over", "moving")) for line in lines)
    rest = [line for line in lines if line.startswith("and ")]
    assert rest == ([f"and {count - shown} more"] if shown < count else [])
    tables = {3: 0, 24: min(count, 2), 50: min(count, 4)}
    assert sum(line.startswith("rnd ") for line in lines) == tables[height]


def test_the_time_runs_while_a_round_does() -> None:
    early, late = (drawn([watched(vm("web", 4), NOW + more)]) for more in (0, 60))
    assert "in round 3, 7.25 s" in early
    assert "in round 3, 67.2 s" in late


def test_who_has_left_stays_for_a_while() -> None:
    now = 100.0
    memory = WatchedVms(lambda: now)
    gone, there, other = (watched(each, NOW) for each in (vm("web", 4), quiet("db"), vm("web", 3)))
    memory.look([gone, there])
    assert memory.look([]) == [replace(gone, running=False, gone=True)]
    assert "active, gone" in drawn(memory.look([]))
    now += GONE_SECONDS - 1
    assert len(memory.look([there])) == 2
    assert memory.look([replace(other, pid=1)]) == [replace(other, pid=1)]  # it has come back
    memory.look([])
    now += GONE_SECONDS
    assert memory.look([]) == []


def test_names_are_text_and_nothing_else() -> None:
    assert ODD in drawn([watched(vm(ODD, 4), NOW)], width=200)
    for name in ("a\x1b[2Jb", "a\nb", "a\udcffb", "a\u202eb"):
        for text in (drawn([watched(vm(name, 4), NOW)]), drawn([watched(quiet(name), NOW)])):
            assert f"a{json.dumps(name[1])[1:-1]}{name[2:]}" in text.replace("\x1b", "?")


@pytest.mark.parametrize("width", [40, 80, 200])
def test_no_line_is_wider_than_the_screen(width: int) -> None:
    long, short = (
        drawn([watched(vm(name, len(EVENTS) - 2), NOW), watched(quiet(f"名{name}"), NOW)], width).splitlines()
        for name in ("w" * 300, "w")
    )
    assert max(map(cell_len, long)) <= width
    assert len(long) == len(short)


def test_before_there_is_anything() -> None:
    assert "waiting for one" in drawn([])
    assert drawn([watched(quiet("web"), NOW)]).strip() == "nothing seen of: web"
    two = [watched({**quiet("web"), "pid": pid}, NOW) for pid in (7, 8)]
    assert drawn([*two, watched(quiet("db"), NOW)]).strip() == "nothing seen of: db, web (pid 7), web (pid 8)"


def test_what_is_not_seen_is_not_nothing() -> None:
    one = watched(vm("web", 4), NOW)
    assert "of the last round; saved 0 B\n" in drawn([one])
    assert "of the last round\n" in drawn([replace(one, rounds=[replace(r, saved_bytes=None) for r in one.rounds])])


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Path]:
    """A service whose status has a little more each time, and then ends."""
    looks = iter([[quiet("web")], *([vm("web", count), vm(ODD, 3)] for count in (3, 4, 4, len(EVENTS)))])

    def status(request: Mapping[str, Any], asker: control.Caller) -> object:
        if (found := next(looks, None)) is None:
            raise control.MissingError("it ends")
        return {"vms": found, "pid": 1}

    path = tmp_path / "control"
    with control.serving(path, {"status": status}):
        yield path


def test_lines_where_there_is_no_terminal(service: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["watch", "--vm", "web", "--every", "0.01", "--control", str(service)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("web: migration ")
    assert len(lines) == len(set(lines))
    assert all(line.startswith("web: ") for line in lines)
    assert lines[-1].startswith("web: completed")


def test_a_picture_needs_nothing_from_elsewhere() -> None:
    picture = svg(screen([watched(vm(ODD, 4), NOW)], 80, 24), 80, "watch")
    assert ODD.split(maxsplit=1)[0] in picture
    assert "</b>" not in picture
    assert not re.search(r"url\(\"?http|@import|href", picture)


def test_a_picture_is_of_a_screen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["watch", "--svg", str(tmp_path / "screen.svg")]) == 2
    assert "needs a terminal" in capsys.readouterr().err


def test_json_whenever_it_has_changed(service: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["watch", "--json", "--every", "0.01", "--control", str(service)]) == 1
    looks = [json.loads(line)["vms"] for line in capsys.readouterr().out.splitlines()]
    assert len(looks) == 4  # of five, two were the same
    assert looks[-1][0]["last"]["outcome"] == "completed"


def test_without_a_service_it_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["watch", "--control", str(tmp_path / "none")]) == 1
    assert "fakedirty observe --all runs one" in capsys.readouterr().err
