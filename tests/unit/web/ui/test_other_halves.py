"""The page links both halves of a migration to each other, if both are recorded below its directory."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from fakedirty.web.server import serve
from fakedirty.web.ui.documents import overview
from fakedirty.web.ui.live_migrations import LiveMigrations, key_of
from fakedirty.web.ui.other_halves import other_halves
from fakedirty.web.ui.recorded import LOOK_SECONDS, Recorded
from fakedirty.web.ui.routes import page_routes
from halves import ALONE, destination_half, source_half
from made_migrations import made, tell

SOURCE, DESTINATION = key_of("web", "s1"), key_of("web-in", "d1")


def shown(out: Path, key: str, live: LiveMigrations | None = None) -> dict[str, Any]:
    with (
        serve(page_routes(live or LiveMigrations(), out, list, "host.example"), port=0) as url,
        urllib.request.urlopen(f"{url}/page/migration.json?key={key}", timeout=20) as answer,
    ):
        found: dict[str, Any] = json.loads(answer.read())
        return found


def test_each_half_names_the_other_one(tmp_path: Path) -> None:
    source_half(tmp_path), destination_half(tmp_path)
    stopped = "By both recordings, the guest was stopped for 94.5 to 105.5 ms."
    assert shown(tmp_path, SOURCE)["other_half"] == {
        "key": DESTINATION,
        "text": f"Its destination: web-in d1 on beta. {stopped}",
    }
    assert shown(tmp_path, DESTINATION)["other_half"] == {
        "key": SOURCE,
        "text": f"Its source: web s1 on alpha. {stopped}",
    }


def test_a_half_alone_names_none(tmp_path: Path) -> None:
    source_half(tmp_path)
    assert shown(tmp_path, SOURCE)["other_half"] is None


def test_what_does_not_belong_together_is_not_linked(tmp_path: Path) -> None:
    source_half(tmp_path, ALONE, return_path=False), destination_half(tmp_path, ALONE)
    assert shown(tmp_path, SOURCE)["other_half"] is None


def test_a_guest_that_was_not_run_has_the_reason(tmp_path: Path) -> None:
    source_half(tmp_path), destination_half(tmp_path, runs=False)
    text = shown(tmp_path, SOURCE)["other_half"]["text"]
    assert text == (
        "Its destination: web-in d1 on beta. The guest arrived, and the destination had not run it when its recording "
        "ended."
    )


def test_one_that_this_process_observed_is_linked_too(tmp_path: Path) -> None:
    live = LiveMigrations()
    tell(made("web", "s1"), [live])
    source_half(tmp_path), destination_half(tmp_path)
    assert shown(tmp_path, SOURCE, live)["other_half"]["key"] == DESTINATION


def test_the_stamp_changes_when_the_other_half_comes(tmp_path: Path) -> None:
    """So that an open page shows it. The list has the same stamp, or the page would read the migration for ever."""
    now = [0.0]
    recorded = Recorded(tmp_path, lambda: now[0])
    source_half(tmp_path)

    def stamp() -> str:
        now[0] += LOOK_SECONDS
        listing = recorded.listing()
        entries = overview("host", {}, listing, [])["migrations"]
        [found] = [entry["stamp"] for entry in entries if entry["key"] == SOURCE]
        assert found == listing.stamp(SOURCE, listing.found[SOURCE].stamp)
        return str(found)

    alone = stamp()
    assert stamp() == alone
    destination_half(tmp_path)
    assert stamp() != alone


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"started_at": "yesterday"},
        {"clock": None, "started_at": "2023-11-14"},
        {"clock": ["a list"], "started_at": "2023-11-14T22:13:20+00:00"},
        {"clock": {"wall_minus_monotonic_ns": float("inf")}, "started_at": "2023-11-14T22:13:20+00:00"},
    ],
)
def test_what_cannot_be_read_has_no_other_half(content: dict[str, object]) -> None:
    assert other_halves({"k": (Path("x"), {"vm": "web", "migration_id": "m", **content})}) == {}
