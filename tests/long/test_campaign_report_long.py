"""The report of a campaign in a real Chromium: offline, on a desktop and a phone, with names that are markup."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from browser import Tab, browser
from campaign_frames import campaign, empty
from fakedirty.campaign.report.write import write

PHONE, DESKTOP = (390, 844), (1280, 900)
NASTY = '<img src=x onerror="document.title=1"><script>document.title=2</script>$x$ \'ü/\\ &lt;'
FACTS = {
    "name": "an example",
    "seed": 7,
    "versions": {"fakedirty": "0.1.0", "qemu": "10.0.13", "kernel": "Linux 6.1", "cpu": "a CPU"},
}


def settled(tab: Tab, path: Path) -> None:
    """What is to hold of every report: nothing but the file is loaded, and nothing is beside the screen."""
    loaded = {request for request in tab.requests if not request.startswith("data:")} - {"about:blank"}
    assert loaded == {path.as_uri()}
    assert not tab.complaints
    assert tab.value("document.documentElement.scrollWidth <= innerWidth")


def pictures(tab: Tab) -> int:
    """How many there are, each of them decoded and as wide as it is to be."""
    tab.wait("[...document.images].every((each) => each.complete)")
    widths = tab.value("[...document.images].map((each) => each.naturalWidth && each.width)")
    assert all(width > 300 for width in widths), widths
    return len(widths)


@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_it_is_read_offline(size: tuple[int, int], tmp_path: Path) -> None:
    """All of it: every chart is drawn, every table is there and can be opened."""
    path = write(replace(campaign(), facts=FACTS), tmp_path)
    with browser(tmp_path / "profile") as tab:
        tab.size(*size)
        tab.open(path.as_uri())
        # pages by class for three treatments that count them; for each cell three metrics, rounds and throughput
        assert pictures(tab) == 3 + 4 * 5
        tab.value("document.querySelectorAll('details').forEach((each) => { each.open = true })")
        for expected in (
            "Made: 96 runs.",
            "the guest was not ready",
            "cannot be used together with multifd",
            "Linux 6.1",
        ):
            assert expected in tab.text()
        settled(tab, path)
        if shots := os.environ.get("FAKEDIRTY_SCREENSHOTS"):
            tab.picture(Path(shots) / f"report-{size[0]}.png", whole=True)


def test_names_that_are_markup_are_shown_as_they_are(tmp_path: Path) -> None:
    made = campaign(treatments=("vanilla", NASTY), workloads=(NASTY,), memories=(256,), blocks=2, name=NASTY)
    made.left_out = [{"treatment": NASTY, "reason": NASTY}]
    path = write(made, tmp_path)
    with browser(tmp_path / "profile") as tab:
        tab.size(*PHONE)
        tab.open(path.as_uri())
        pictures(tab)
        assert tab.value("document.querySelector('h1').textContent") == NASTY
        assert tab.value("document.title") == f"{NASTY}: report of a campaign"
        settled(tab, path)


def test_a_campaign_that_has_not_begun(tmp_path: Path) -> None:
    path = write(empty(), tmp_path)
    with browser(tmp_path / "profile") as tab:
        tab.size(*PHONE)
        tab.open(path.as_uri())
        assert "No run has been made yet." in tab.text()
        settled(tab, path)
