"""A guest that moves while a client in a third namespace talks to it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from fakedirty.errors import LabError
from fakedirty.lab.bench.downtime import DowntimeJob, measure_downtime
from fakedirty.lab.client.guest_network import guest_network
from fakedirty.lab.client.watching import watched_by_client
from fakedirty.lab.guests.recipes import build_guest
from fakedirty.lab.network import GIGABIT, shaped_network
from fakedirty.lab.qemu import qemu_binary


@pytest.mark.parametrize("arm", ["skip", pytest.param("off, level usdt", marks=pytest.mark.long)])
def test_a_client_loses_the_guest_and_finds_it_again(arm: str) -> None:
    job = DowntimeJob(1, arm)
    run = measure_downtime(job, qemu_binary(), build_guest("linux"), time_limit=60, link_bits=GIGABIT)
    assert run.memory_right
    assert sum(run.parts.values()) + run.unexplained_ms == pytest.approx(run.blackout_ms)
    assert {"ram", "save", "load"} <= set(run.parts)
    assert set(run.outages) == set(run.replies) == {"IPv4", "IPv6"}
    assert all(count > 0 for count in run.unanswered.values()), "it was stopped for many intervals between requests"
    assert None not in run.announced.values(), run.announced


def test_a_guest_that_is_not_there_does_not_answer() -> None:
    with shaped_network() as hosts, guest_network(hosts) as client, watched_by_client(client) as watch:
        with pytest.raises(LabError, match=r"has not answered its client over IPv4 and IPv6 in 0\.5 s"):
            watch.wait_for_replies(0, 0.5)
        keeper = client.pid
    assert not Path(f"/proc/{keeper}").exists()
    # its namespace held the switch, and its end both uplinks
    assert "switch0" not in subprocess.run(("ip", "link"), capture_output=True, text=True, check=True).stdout


def test_a_client_that_ends_by_itself_is_an_error() -> None:
    with shaped_network() as hosts, guest_network(hosts) as client, watched_by_client(client) as watch:
        client.run("ip", "link", "delete", "switch0")
        with pytest.raises(LabError, match=r"the client of the guest ended with status 1: .*OSError"):
            watch.wait_for_replies(0, 20)
