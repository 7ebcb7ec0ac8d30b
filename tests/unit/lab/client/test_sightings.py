"""What a client saw: the outage around the moment when the guest ran again, and what announced it."""

from __future__ import annotations

import pytest
from fakedirty.errors import LabError
from fakedirty.lab.client.frames import FrameKind
from fakedirty.lab.client.sightings import ClientOutage, Sighting, Sightings, parse_sightings

RESUMED = 110


def seen(*more: Sighting) -> Sightings:
    echoes = []
    for at in range(0, 200, 10):
        number = at // 10
        echoes.append(Sighting(at, FrameKind.REQUEST4, number))
        # the guest stops at 52 and runs at 110; the switch finds it at 131
        if at < 50 or at > 131:
            echoes.append(Sighting(at + 3, FrameKind.REPLY4, number))
    return Sightings([*echoes, *more])


def test_an_outage_lasts_from_the_last_reply_to_the_first() -> None:
    outage = seen().outage("IPv4", RESUMED)
    assert outage == ClientOutage(last_ns=43, first_ns=143, unanswered=9), "requests 5 to 13"
    assert outage.duration_ns == 100


def test_a_request_that_is_answered_late_is_answered() -> None:
    outage = seen(Sighting(141, FrameKind.REPLY4, 13)).outage("IPv4", RESUMED)
    assert outage == ClientOutage(43, 141, 8)


def test_a_reply_at_the_very_moment_is_the_first() -> None:
    outage = seen(Sighting(110, FrameKind.REPLY4, 8)).outage("IPv4", RESUMED)
    assert outage == ClientOutage(43, 110, 5)


@pytest.mark.parametrize(("family", "resumed"), [("IPv6", RESUMED), ("IPv4", 2), ("IPv4", 500)])
def test_an_outage_needs_replies_on_both_sides(family: str, resumed: int) -> None:
    assert seen().outage(family, resumed) is None


def test_the_first_announcement_since_a_moment() -> None:
    rarps = [Sighting(at, FrameKind.RARP, 0) for at in (20, 111, 161)]
    assert seen(*rarps).first(FrameKind.RARP, RESUMED) == 111
    assert seen(*rarps).first(FrameKind.RARP, 111) == 111
    assert seen(*rarps).first(FrameKind.RARP, 162) is None
    assert seen(*rarps).first(FrameKind.GRATUITOUS_ARP, 0) is None


def test_lines_are_parsed_as_far_as_they_are_complete() -> None:
    text = "5 request4 1\n7 neighbour-advertisement 0\n9 repl"
    found = [Sighting(5, FrameKind.REQUEST4, 1), Sighting(7, FrameKind.NEIGHBOUR_ADVERTISEMENT, 0)]
    assert parse_sightings(text) == found


@pytest.mark.parametrize("line", ["five reply4 1", "5 answer 1", "5 reply4", "5 reply4 1 2"])
def test_a_line_that_is_none_of_the_clients_is_an_error(line: str) -> None:
    with pytest.raises(LabError, match="the client of the guest wrote"):
        parse_sightings(f"{line}\n")
