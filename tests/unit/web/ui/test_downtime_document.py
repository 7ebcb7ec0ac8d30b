"""What the page shows of a downtime: bars from the stop on, each with its part in words."""

from __future__ import annotations

from fakedirty.model.downtime import Blackout, Part, PartKind
from fakedirty.web.ui.documents import details
from fakedirty.web.ui.downtime_document import LANES, downtime_document
from made_migrations import made, tell
from made_switchover import DESTINATION, END, SOURCE


def test_a_bar_for_each_part_in_the_lane_of_its_side() -> None:
    shown = details(tell(made(), [], (*SOURCE, *DESTINATION, *END)))["downtime"]
    assert shown["words"].startswith("The guest was stopped for 70 ms: last RAM 34 ms")
    bars = shown["bars"]
    assert {len(column) for column in bars.values()} == {12}
    assert set(bars["lane"]) == set(LANES)
    ram = bars["text"].index("last RAM (source): 34 ms, 6.0 ms after the stop, 34 ms of it counted for this part")
    assert (bars["lane"][ram], bars["left"][ram], bars["right"][ram]) == ("source", 6, 40)


def test_a_part_without_a_place_is_not_drawn() -> None:
    shown = downtime_document(Blackout((Part(PartKind.LOAD, None, 3_000_000, None, "timer", 0),)))
    assert shown["bars"] == {"lane": [], "left": [], "right": [], "text": []}
    assert shown["words"]


def test_where_no_part_was_seen_nothing_is_shown() -> None:
    assert downtime_document(None) == {"words": "", "bars": {"lane": [], "left": [], "right": [], "text": []}}
