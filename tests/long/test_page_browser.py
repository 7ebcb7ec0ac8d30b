"""The page in a real Chromium: beside a migration that runs, on a desktop and a phone, with names that are markup."""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from browser import Tab, browser
from fakedirty.cli.main import main
from fakedirty.lab.guests.workload import Workload
from fakedirty.lab.qemu import qemu_binary
from fakedirty.model.enums import PageClass
from fakedirty.model.events import RoundEnded
from fakedirty.record.directory_names import safe_name
from fakedirty.record.recorder import Recorder
from fakedirty.web.server import serve
from fakedirty.web.ui.live_migrations import LiveMigrations, key_of
from fakedirty.web.ui.routes import page_routes
from halves import destination_half, source_half
from made_migrations import EVENTS, LOSS, SECOND, START, again, batch, bulk, made, tell
from migrating import pair
from PIL import Image
from serving import service

PHONE, DESKTOP = (390, 844), (1280, 900)
NASTY = '<img src=x onerror="document.title=1"><script>document.title=2</script>\'ü/\\ &lt;'
TRACES = Path(__file__).parents[1] / "unit" / "traces"
UP_TO_DATE = "document.getElementById('link').textContent.startsWith('as of')"
#: a round takes a second or two at LINK, with skip most of one: it does not end by itself
WORKLOAD = Workload(fake=6000, changed=3000, untouched=2000, pause_ms=5, memory_mib=64)
LINK = 20_000_000  # bytes a second


@contextmanager
def page(directory: Path) -> Iterator[tuple[str, LiveMigrations]]:
    """The page of what is recorded in `directory`, and of live migrations."""
    live = LiveMigrations()
    with serve(page_routes(live, directory, list, "host.example"), port=0) as url:
        yield f"{url}/", live


def settled(tab: Tab) -> None:
    """What is to hold of every page: all of it from one place, no complaint, and nothing beside the screen."""
    origins = {urlsplit(request).netloc for request in tab.requests if not request.startswith(("data:", "about:"))}
    assert len(origins) == 1, tab.requests
    assert not tab.complaints
    assert tab.value("document.documentElement.scrollWidth <= innerWidth")


def choose(tab: Tab, vm: str) -> None:
    """Click on the migration of this VM, and wait until it is shown: the page chooses the latest one of the host."""
    link = f"[...document.querySelectorAll('#list a')].find((each) => each.firstChild.textContent === {json.dumps(vm)})"
    tab.wait(f"{link} !== undefined")
    tab.value(f"{link}.click()")
    tab.wait(f"shown.key === location.hash.slice(1) && document.getElementById('vm').textContent === {json.dumps(vm)}")


def painted(tab: Tab, plot: str) -> int:
    """How many colours a figure is drawn with."""
    found: int = tab.value(
        f"""(() => {{
            const find = (node) => [...node.querySelectorAll("*")].flatMap((each) => [
                ...(each.tagName === "CANVAS" ? [each] : []), ...(each.shadowRoot ? find(each.shadowRoot) : [])]);
            const colours = new Set();
            for (const canvas of find(document.getElementById("{plot}"))) {{
                if (!canvas.width || !canvas.height) continue;
                const copy = new OffscreenCanvas(canvas.width, canvas.height);
                const context = copy.getContext("2d", {{willReadFrequently: true}});
                context.drawImage(canvas, 0, 0);
                const {{data}} = context.getImageData(0, 0, canvas.width, canvas.height);
                for (let at = 0; at < data.length; at += 4) if (data[at + 3] === 255)
                    colours.add(data[at] << 16 | data[at + 1] << 8 | data[at + 2]);
            }}
            return colours.size;
        }})()"""
    )
    return found


@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_a_name_that_is_markup_is_shown_as_it_is(size: tuple[int, int], tmp_path: Path) -> None:
    """Of a VM, and of a RAM block."""
    recorder = Recorder(tmp_path / "out", "r")
    with page(tmp_path / "out") as (root, live), browser(tmp_path / "profile") as tab:
        migration = made(NASTY)
        for sink in (recorder, live):
            sink.started(migration)
        for number in (1, 2):
            recorder.pages(migration, batch(0, 256, number, NASTY, page_class=PageClass.FAKE))
            migration.apply(RoundEnded(START, bulk() if number == 1 else again(2, skip=True), flaw=NASTY))
            recorder.changed(migration, RoundEnded(START, migration.rounds[-1]))
        tab.size(*size)
        tab.open(root)
        tab.wait(UP_TO_DATE)
        tab.wait("document.getElementById('ram-text').textContent.includes('Blocks')")
        for part in ("vm", "list", "notes", "ram-text"):
            assert NASTY in tab.value(f"document.getElementById('{part}').textContent"), part
        assert tab.value("document.querySelectorAll('main img, main script').length") == 0
        assert tab.value("document.title") == "fakedirty on host.example"
        settled(tab)


def test_what_was_recorded_at_every_level_is_drawn(tmp_path: Path) -> None:
    for trace in TRACES.glob("*.trace"):
        main(["replay", str(trace), "--out", str(tmp_path / "out"), "--json"])
    recorded = list((tmp_path / "out").glob("*/*/manifest.json"))
    with page(tmp_path / "out") as (root, live), browser(tmp_path / "profile") as tab:
        tell(replace(made("arrived", "a"), incoming=True, start_ns=START + SECOND), [live], [])
        tell(made("lost", "b"), [live], [*EVENTS[:3], *LOSS, *EVENTS[3:]])
        tab.size(*PHONE, dark=True)
        tab.open(root)
        tab.wait(UP_TO_DATE)
        links = "document.querySelectorAll('#list a')"
        keys = tab.value(f"[...{links}].map((link) => link.hash.slice(1))")
        assert len(keys) == len(recorded) + 2, "those that were recorded, and the two above"
        assert keys[0] == key_of("arrived", "a")
        assert tab.value("document.getElementById('vm').textContent") == "lost", "the latest of those that went"
        for key in keys:
            tab.value(f"location.hash = '{key}'")
            tab.wait(f"document.querySelector('#list a[aria-current]')?.hash === '#{key}' && shown.key === '{key}'")
            assert tab.value("document.getElementById('vm').getBoundingClientRect().top < innerHeight"), "in view"
            if tab.value("document.querySelectorAll('#rows tr').length") and key != key_of("arrived", "a"):
                tab.wait("sources['rounds'][0].data.left.length > 0")
                assert painted(tab, "plot-pages") > 3
        settled(tab)


def test_each_half_of_a_migration_leads_to_the_other_one(tmp_path: Path) -> None:
    report: dict[str, object] = {"status": "completed", "postcopy-latency": 380_000}
    source_half(tmp_path / "runs"), destination_half(tmp_path / "runs", report=report)
    with page(tmp_path / "runs") as (url, _), browser(tmp_path) as tab:
        tab.open(url)
        choose(tab, "web")
        assert tab.value("document.querySelector('#other-half').innerText") == (
            "Its destination: web-in d1 on beta. By both recordings, the guest was stopped for 94.5 to 105.5 ms."
        )
        tab.value("document.querySelector('#other-half a').click()")
        tab.wait("shown.key === location.hash.slice(1) && document.getElementById('vm').textContent === 'web-in'")
        assert "Its source: web s1 on alpha." in tab.text()
        assert "380 µs" in tab.text()
        settled(tab)


def test_nothing_yet_a_thousand_rounds_and_a_service_that_goes(tmp_path: Path) -> None:
    with browser(tmp_path / "profile") as tab:
        with page(tmp_path / "out") as (root, live):
            tab.size(*DESKTOP)
            tab.open(root)
            tab.wait(UP_TO_DATE)
            assert "No migration yet" in tab.text()
            assert "virsh migrate --live" in tab.text()
            migration = made("web")
            live.started(migration)
            tab.wait("document.getElementById('vm').textContent === 'web'")
            assert "No migration yet" not in tab.text()
            migration.apply(RoundEnded(START, bulk()))
            for number in range(2, 1001):
                r = replace(again(number, skip=False), start_seconds=4.25 + number / 50, duration_seconds=0.02)
                migration.apply(RoundEnded(START, r))
            tab.wait("sources['rounds'][0].data.left.length === 1000")
            assert "The last 64 of 1,000 rounds" in tab.text()
            tab.size(*PHONE)
            settled(tab)
        tab.wait("document.getElementById('link').textContent.startsWith('not up to date')")
        assert tab.value("document.getElementById('vm').textContent") == "web", "what was known stays"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: for BPF")
def test_it_follows_a_migration_that_runs(tmp_path: Path) -> None:
    name = "web <b>1</b> ü"
    with (
        pair(qemu_binary(), tmp_path, name=name, workload=WORKLOAD) as vm,
        service(tmp_path, "--listen", "127.0.0.1:0", "--pages") as daemon,
        browser(tmp_path / "profile") as tab,
    ):
        daemon.wait_for(vm.source.pid)
        tab.size(*DESKTOP)
        tab.open(daemon.metrics.removesuffix("metrics"))
        tab.wait(UP_TO_DATE)
        attached = tab.value("document.getElementById('attached').innerText")
        assert re.search(rf"[:,] {re.escape(name)}[,.]", attached), attached
        vm.migrate(max_bandwidth=LINK, downtime_limit=300, fake_dirty_mode="observe")
        choose(tab, name)
        tab.wait("sources['rounds']?.[0].data.left.length >= 2")
        tab.wait("document.getElementById('verdict').textContent.includes('has not changed')")
        tab.wait("/not end|left|overdue/.test(document.getElementById('left').textContent)")
        before = tab.value("sources['rounds'][0].data.left.length")
        assert "▶ active" in tab.value("document.querySelector('#list a[aria-current]').innerText")
        assert vm.info()["status"] == "active", "all of that was seen while it ran"
        assert daemon.said("mode", "skip", "--vm", name).returncode == 0
        tab.wait("sources['marks'][0].data.word.includes('skip')")
        tab.wait(f"sources['rounds'][0].data.left.length > {before} + 2")
        tab.wait("sources['ram'][0].data.image.length === 1 && shown.ram.shares.length >= 4")
        assert painted(tab, "plot-ram") > 20
        assert "mode observe -> skip" in tab.value("document.getElementById('toggles').innerText")
        _pictures(tab)
        assert vm.info()["status"] == "active", "all of that was seen while it ran"
        vm.converge()
        tab.wait("document.getElementById('what').textContent.includes('completed')")
        tab.wait("document.getElementById('progress').hidden")
        tab.wait("sources['marks'][0].data.word.includes('stop')")
        [directory] = daemon.wait_for_recordings(safe_name(name))
        rounds = len((directory / "rounds.csv").read_text().splitlines()) - 1
        tab.wait(f"sources['rounds'][0].data.left.length === {rounds}")
        tab.wait("shown.ramStamp === shown.stamp")
        settled(tab)
        assert json.loads((directory / "migration.json").read_text())["valid"] is True
        others = {path.name for path in daemon.out.iterdir()} - {safe_name(name)}
        assert daemon.stop() in ({0, 3} if others else {0}), "what is wrong with others, whatever migrates here"
        assert "Traceback" not in daemon.log


def _pictures(tab: Tab) -> None:
    """Screenshots for the docs, where they are asked for."""
    directory = os.environ.get("FAKEDIRTY_PICTURES")
    for stem, size in (("page", DESKTOP), ("page-phone", PHONE)) if directory else ():
        tab.size(*size)
        threading.Event().wait(3)
        settled(tab)
        path = Path(str(directory), f"{stem}.png")
        tab.picture(path, whole=True)
        seen = Image.open(path).convert("RGB")
        seen.quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=1, dither=Image.Dither.NONE).save(path, optimize=True)
    tab.size(*PHONE)
    settled(tab)
