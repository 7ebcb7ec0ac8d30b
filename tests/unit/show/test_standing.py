"""Where a migration stands, in the status, on the screen, in lines, and on the page: the same everywhere."""

from __future__ import annotations

import json
from dataclasses import replace
from io import StringIO
from typing import Any

import pytest
from fakedirty.format.sentences import in_words
from fakedirty.model.events import LimitsRead
from fakedirty.model.migration import Migration
from fakedirty.record.manifest import Clock
from fakedirty.record.rows import round_row
from fakedirty.record.standing import MEMBERS, progress_of, standing
from fakedirty.record.summary import summary
from fakedirty.service.watched_vms import watched
from fakedirty.show.status import status_parts
from fakedirty.show.watch import Watched, screen
from fakedirty.show.watch_lines import NewLines
from fakedirty.web.ui.documents import details, live_entry
from fakedirty.web.ui.live_migrations import LiveMigration
from rich.console import Console
from running_migrations import ENDING, START, STUCK, at, running

CLOCK = Clock(START, START)  # the clocks of the host are equal
STARTED = START / 1e9


def status(migration: Migration) -> dict[str, Any]:
    """A VM in the status, as a client reads it."""
    found = migration.forecast
    made = {
        "vm": migration.vm,
        "pid": 4711,
        "level": "patched",
        "migrations": 1,
        "verdict": in_words(found) if found else None,
        "last": summary("run", migration, CLOCK),
        "rounds": [round_row("run", migration, each) for each in migration.rounds],
        "toggles": [],
        **standing(migration, CLOCK),
    }
    read: dict[str, Any] = json.loads(json.dumps(made))
    return read


def drawn(*vms: Watched, width: int = 80) -> str:
    console = Console(file=StringIO(), width=width, height=40)
    console.print(screen(vms, width, 40))
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_the_status_has_dates_and_stays_equal_while_time_passes() -> None:
    migration = running(ENDING, 3)
    made = standing(migration, CLOCK)
    progress = made["progress"]
    assert isinstance(progress, dict)
    assert progress["outlook"] == "ends"
    assert progress["ratio"] == int(100 * (migration.progress.ratio or 0)) / 100
    total = migration.progress.total_seconds
    assert total is not None
    assert progress["ends_at"]["expected"] == CLOCK.date(at(total.expected)).isoformat(timespec="milliseconds")
    migration.tick(at(migration.progress.elapsed_seconds + 0.001))
    assert standing(migration, CLOCK) == made


def test_a_client_counts_down_by_its_own_clock() -> None:
    migration = running(ENDING, 3)
    row = json.loads(json.dumps(standing(migration, CLOCK)["progress"]))
    total = migration.progress.total_seconds
    assert total is not None
    now = progress_of(row, STARTED, STARTED + 7.0)
    assert now.left_seconds is not None
    assert now.left_seconds.expected == pytest.approx(total.expected - 7.0, abs=0.01)
    assert progress_of(row, STARTED, STARTED + total.expected + 2).overdue_seconds == pytest.approx(2.0, abs=0.01)
    assert progress_of(row, STARTED, STARTED - 3600).elapsed_seconds == 0, "clocks that differ by an hour"


def test_the_screen_has_a_bar_and_a_time_left() -> None:
    of = watched(status(running(ENDING, 3)), STARTED + 4.0)
    text = drawn(of)
    # 6.9 s of 7.8 s: 8 of 10 characters
    assert "████████░░ 88% probably about 4 s left" in text
    assert "dirties" in text
    assert max(map(len, text.splitlines())) <= 80
    assert "% probably about" not in drawn(replace(of, running=False))


def test_a_stall_is_in_the_text_once_and_its_round_is_named() -> None:
    sentence = "Since round 2 each round leaves as much as round 2 found: 60,000 dirty pages."
    of = watched(status(running(STUCK, 6)), STARTED + 12.0)
    assert sentence in " ".join(drawn(of).split())
    assert "it will not end" in drawn(of)
    lines = list(NewLines().since_last([of]))
    assert lines.count(f"vm: {sentence}") == 1
    assert not any("will not end" in line for line in lines)
    assert watched(status(running(STUCK, 4)), STARTED + 12.0).stall == ""


def test_an_older_service_reports_none_of_it() -> None:
    old = status(running(ENDING, 3))
    for member in MEMBERS:
        del old[member]
    of = watched(old, STARTED + 7.0)
    assert (of.progress, of.stall, of.dirty_rate) == (None, "", None)
    assert "left" not in drawn(of).replace("left ", "", 1)
    service = {"version": "1", "pid": 2, "up_seconds": 3.0, "vms": [old]}
    assert [part for part in status_parts(service, STARTED + 7.0) if isinstance(part, str)][1:] == [
        "",
        f"vm: {of.verdict}",
    ]


def test_the_status_as_text() -> None:
    vms = [status(running(ENDING, 3)), status(running(STUCK, 6, vm="db"))]
    quiet = {"vm": "quiet", "pid": 1, "level": "stock", "migrations": 0, "verdict": None, "last": None}
    service = {"version": "1", "pid": 2, "up_seconds": 3.0, "vms": [*vms, quiet | dict.fromkeys(MEMBERS)]}
    lines = [part for part in status_parts(service, STARTED + 7.0) if isinstance(part, str) and part]
    assert any(line.startswith("vm: 88%, probably about 1 s left") for line in lines), lines
    assert any("the guest dirties" in line for line in lines)
    assert "db: it will not end, the guest dirties 26.7k pages/s" in lines
    assert "db: Since round 2 each round leaves as much as round 2 found: 60,000 dirty pages." in lines
    assert not any(line.startswith("quiet") for line in lines)


def test_the_page_has_it_in_the_list_and_beside_the_verdict() -> None:
    live = LiveMigration(running(STUCK, 6), CLOCK)
    assert live_entry(live)["progress"] == {"ratio": None, "words": "it will not end"}
    shown = details(live.migration, live)
    assert shown["stall"].startswith("Since round 2 each round leaves as much")
    # 60,000 pages in each of them, which took 4.30 s + 4 x 1.74 s
    assert ["dirtied in the last 5 rounds", "26.7k pages/s"] in [list(pair) for pair in shown["numbers"]]
    assert "dirtied in the last round" in [name for name, _ in details(running(STUCK, 2))["numbers"]]
    ending = LiveMigration(running(ENDING, 3), CLOCK)
    before = live_entry(ending)
    assert before["progress"]["words"].startswith("88%, probably about 1 s left")
    ending.migration.tick(at(7.5))
    after = live_entry(ending)
    assert after["progress"]["ratio"] > before["progress"]["ratio"]
    assert after["stamp"] == before["stamp"], "the plots are not fetched again for that"
    ending.over = True
    assert live_entry(ending)["progress"] is None


def test_the_page_has_the_vcpus_that_dirty_most() -> None:
    migration = running(ENDING, 3)
    assert standing(migration, CLOCK)["vcpu_dirty_rates"] is None
    migration.apply(LimitsRead(at(7.0), 300, vcpu_rates={index: index * 1_000_000 for index in range(10)}))
    numbers = [list(pair) for pair in details(migration)["numbers"] if "vCPU" in pair[0]]
    assert numbers[0] == ["dirtied by vCPU 9", "9.00 MB/s"]
    assert len(numbers) == 8
    assert standing(migration, CLOCK)["vcpu_dirty_rates"] == migration.vcpu_rates


def test_the_page_has_rates_by_block() -> None:
    migration = running(ENDING, 3)
    migration.block_visits.take(2, "pc.ram", migration.rounds[1].visited_pages or 0)
    numbers = [name for name, _ in details(migration)["numbers"]]
    assert "dirtied in pc.ram" in numbers
