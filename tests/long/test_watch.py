"""``fakedirty watch`` while two guests migrate: what a terminal shows, what stays there, a picture, lines in a pipe."""

from __future__ import annotations

import os
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from fakedirty.lab.qemu import qemu_binary, stock_binary
from fakedirty.record.load import load
from migrating import PATIENCE_SECONDS, SLOW, wait
from serving import service
from test_host import guests
from watching import COLUMNS, LINES, piping, watching

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: for BPF")


def nothing_seen_of(screen: str, vm: str) -> bool:
    """Its last line names this VM, or has no room for the names of all that run on this host."""
    found = re.search(r"^nothing seen of: (.*)", screen, re.MULTILINE)
    return found is not None and (vm in found[1].split(", ") or found[1].endswith("…"))


def test_it_is_watched_on_a_screen_and_in_a_pipe(tmp_path: Path) -> None:
    picture = tmp_path / "screen.svg"
    with (
        guests(tmp_path, web=qemu_binary(), db=stock_binary()) as vms,
        service(tmp_path) as daemon,
        watching("--control", str(daemon.control), "--svg", str(picture)) as screen,
        piping(tmp_path / "lines", "--vm", "web", "--control", str(daemon.control)) as piped,
    ):
        daemon.wait_for(*(vm.source.pid for vm in vms.values()))
        wait(lambda: all(nothing_seen_of(screen.shown, name) for name in vms))
        vms["web"].migrate(max_bandwidth=SLOW, downtime_limit=1, fake_dirty_mode="observe")
        vms["db"].migrate(max_bandwidth=SLOW, downtime_limit=1)
        heads = [f"{name}  pid {vm.source.pid}, level " for name, vm in vms.items()]
        wait(lambda: "of what is sent again" in screen.shown and all(head in screen.shown for head in heads))
        assert daemon.said("mode", "skip", "--vm", "web").returncode == 0
        wait(lambda: "-- mode observe -> skip" in screen.shown)
        for vm in vms.values():
            vm.converge()
        completed = [rf"{name} +pid {vm.source.pid}, level \w+, \w+: completed" for name, vm in vms.items()]
        wait(lambda: all(re.search(each, screen.shown) for each in completed))
        wait(lambda: "web: completed" in (tmp_path / "lines").read_text())
        screen.process.terminate()
        assert screen.process.wait(timeout=PATIENCE_SECONDS) == 0
        daemon.stop()
        assert piped.wait(timeout=PATIENCE_SECONDS) == 1
    assert all(len(frame) <= LINES and max(map(len, frame)) <= COLUMNS for frame in screen.frames)
    assert "\x1b[2J" not in screen.written  # which would flicker
    assert all(re.search(each, screen.left_behind) for each in completed)
    words = "".join(ElementTree.parse(picture).getroot().itertext()).replace("\xa0", " ")
    assert all(re.search(each, words) for each in completed)
    lines = (tmp_path / "lines").read_text().splitlines()
    assert all(line.startswith("web: ") for line in lines)
    rounds = [line for line in lines if re.match(r"web: +\d+ (bulk|iter|swch) ", line)]
    [recorded] = load(tmp_path / "out").migrations.query("vm == 'web'")["rounds"]
    assert [int(line.split()[1]) for line in rounds] == list(range(1, recorded + 1))
    assert lines[-1].startswith("web: completed; total ")
