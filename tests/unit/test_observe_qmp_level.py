"""Rounds from answers of QMP: by a patched QEMU's history, and by counting a stock one's bitmap syncs."""

from __future__ import annotations

from typing import Any

import pytest
from fakedirty.model.events import Event, MigrationStarted, ModeChanged, RoundEnded, StateChanged
from fakedirty.model.words import Kind, Mode
from fakedirty.observe.qmp_history import HistoryReader
from fakedirty.observe.qmp_polled import PollReader


def info(status: str, syncs: int = 0, normal: int = 0, duplicate: int = 0) -> dict[str, Any]:
    """QEMU has counters from the end of the setup on."""
    if status in ("none", "setup"):
        return {"status": status} if status == "setup" else {}
    ram = {"dirty-sync-count": syncs, "normal": normal, "duplicate": duplicate, "transferred": 4096 * normal}
    return {"status": status, "ram": ram}


def polled(*infos: dict[str, Any]) -> list[Event]:
    reader = PollReader()
    return [event for number, given in enumerate(infos) for event in reader.take(number * 100, given)]


def entry(number: int, **changes: Any) -> dict[str, Any]:
    pages = ("dirty", "forced", "visited", "first", "changed", "fake", "normal", "zero", "xbzrle", "unchanged")
    return {
        **dict.fromkeys((*pages, "skipped", "left", "hinted", "transferred", "saved", "hash-time", "forced-syncs"), 0),
        "round": number,
        "kind": "iterative",
        "mode": "observe",
        "hash": "xxh3-64",
        "start": 1000 * number,
        "end": 1000 * number + 500,
        **changes,
    }


def history(*rounds: dict[str, Any], start: int = 1000) -> dict[str, Any]:
    return {"migration-start": start, "dropped": 0, "rounds": list(rounds)}


def status(name: str, mode: str = "observe") -> dict[str, Any]:
    return {"status": name, "fake-dirty": {"mode": mode, "hash": "xxh3-64"}}


def test_a_stock_migration_by_its_syncs() -> None:
    events = polled(
        info("none"),
        info("setup"),
        info("active", 1, 10, 5),
        info("active", 1, 100, 50),
        info("active", 2, 120, 50),
        info("active", 3, 130, 50),
        info("completed", 4, 140, 51),
    )
    rounds = [event for event in events if isinstance(event, RoundEnded)]
    assert [entry.round.kind for entry in rounds] == [Kind.BULK, Kind.ITERATIVE, Kind.SWITCHOVER]
    assert sum(entry.round.normal_pages or 0 for entry in rounds) == 140
    assert sum(entry.round.zero_pages or 0 for entry in rounds) == 51
    assert rounds[0].round.fake_pages is None
    assert not rounds[0].flaw
    assert not rounds[1].flaw
    assert "1 bitmap syncs passed" in rounds[2].flaw
    assert events[-1] == StateChanged(600, "completed")


def test_stock_syncs_between_two_polls_are_missed_rounds() -> None:
    events = polled(info("none"), info("setup"), info("active", 1), info("active", 4, 9), info("cancelled", 4, 9))
    first = next(event for event in events if isinstance(event, RoundEnded))
    assert "2 bitmap syncs passed" in first.flaw


def test_stock_seen_from_the_middle_or_not_at_all() -> None:
    assert polled(info("active", 5, 100))[0] == MigrationStarted(0, partial=True)
    assert polled(info("completed", 5, 100), info("completed", 5, 100)) == []


def test_stock_one_after_the_other() -> None:
    events = polled(
        *(info("none"), info("active", 1), info("cancelled", 1, 5)),
        *(info("cancelled", 1, 5), info("setup"), info("active", 1), info("completed", 2, 7)),
    )
    assert sum(isinstance(event, MigrationStarted) for event in events) == 2
    assert [event.state for event in events if isinstance(event, StateChanged)][-1] == "completed"


def test_stock_counters_that_grow_after_the_end_are_no_other_migration() -> None:
    ends = [info("cancelled", 2, 5), info("cancelled", 2, 6), info("cancelled", 3, 6)]
    events = polled(info("none"), info("active", 1), *ends)
    assert sum(isinstance(event, MigrationStarted) for event in events) == 1


@pytest.mark.parametrize("other", [info("completed", 9, 90), info("cancelled", 2, 90), info("cancelled", 3, 4)])
def test_stock_migration_that_passed_between_two_polls(other: dict[str, Any]) -> None:
    events = polled(info("none"), info("active", 1), info("cancelled", 3, 5), other)
    assert sum(isinstance(event, MigrationStarted) for event in events) == 2


def test_an_incoming_migration_is_none() -> None:
    incoming = [{}, *({"status": state} for state in ("setup", "active", "active", "completed", "completed"))]
    assert polled(*incoming) == []
    # and is sent on: what completed before is not in the way
    events = polled(*incoming, info("setup"), info("active", 1), info("completed", 2, 7))
    assert events[0] == MigrationStarted(600)
    assert events[-1] == StateChanged(800, "completed")


def test_patched_history_is_read_once_and_whole() -> None:
    reader = HistoryReader()
    events = [
        *reader.take(1, {"status": "none"}, {"migration-start": 0, "dropped": 0, "rounds": []}),
        *reader.take(2, status("active"), history(entry(1, kind="bulk", visited=7, normal=7, first=7))),
        *reader.take(3, status("active", "skip"), history(entry(1), entry(2, mode="skip"))),
        *reader.take(4, status("completed", "skip"), history(entry(1), entry(2), entry(3, kind="switchover"))),
        *reader.take(5, status("completed", "skip"), history(entry(1), entry(2), entry(3, kind="switchover"))),
    ]
    assert [type(event) for event in events] == [
        *(MigrationStarted, ModeChanged, RoundEnded, StateChanged),
        *(ModeChanged, RoundEnded),
        *(RoundEnded, StateChanged),
    ]
    assert events[0] == MigrationStarted(1000)
    bulk = events[2]
    assert isinstance(bulk, RoundEnded)
    assert (bulk.round.kind, bulk.round.visited_pages, bulk.round.fake_pages) == (Kind.BULK, 7, 0)
    assert events[4] == ModeChanged(3, 2, Mode.OBSERVE, Mode.SKIP, "xxh3-64")


def test_patched_rounds_without_classes() -> None:
    off = entry(1, mode="off")
    for name in ("first", "changed", "fake"):
        del off[name]
    events = list(HistoryReader().take(1, {"status": "active"}, history(off)))
    ended = next(event for event in events if isinstance(event, RoundEnded))
    assert (ended.round.fake_pages, ended.round.hash, ended.round.mode) == (None, None, Mode.OFF)


def test_patched_rounds_that_left_the_history_are_missed() -> None:
    events = list(HistoryReader().take(1, status("active"), history(entry(4))))
    assert any("3 rounds before this one" in event.flaw for event in events if isinstance(event, RoundEnded))


def test_patched_that_had_ended_before_is_not_ours_but_the_next_is() -> None:
    reader = HistoryReader()
    assert list(reader.take(1, status("completed"), history(entry(1)))) == []
    assert list(reader.take(2, status("completed"), history(entry(1)))) == []
    events = list(reader.take(3, status("active"), history(start=5000)))
    assert events[0] == MigrationStarted(5000)
