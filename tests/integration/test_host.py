"""A host as its operator has it: the service, guests that move and go, a Prometheus, and ends that nobody planned."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from coming_and_going import LANES, come_and_go
from fakedirty.lab.qemu import qemu_binary, stock_binary
from fakedirty.record.load import load
from migrating import SLOW, Pair, pair, wait
from recorded import check_prometheus_has_it
from scraping import Scrapers, prometheus, values, wait_for
from serving import service

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: for BPF"),
    pytest.mark.skipif(
        shutil.which("prometheus") is None, reason="prometheus is not installed: apt-get install prometheus"
    ),
]


@contextmanager
def guests(directory: Path, **binaries: Path) -> Iterator[dict[str, Pair]]:
    """Sources with a guest each, by the name of their VM."""
    with ExitStack() as stack:
        vms = {}
        for name, binary in binaries.items():
            (directory / name).mkdir()
            vms[name] = stack.enter_context(pair(binary, directory / name, name=name))
        yield vms


def test_prometheus_has_what_was_recorded(tmp_path: Path) -> None:
    """Of guests that move side by side while many clients scrape, one of which is toggled, and one killed."""
    binaries = {"web": qemu_binary(), "db": stock_binary(), "lost": qemu_binary()}
    with (
        guests(tmp_path, **binaries) as vms,
        service(tmp_path, "--listen", "127.0.0.1:0") as daemon,
        prometheus(urlsplit(daemon.metrics).netloc, tmp_path) as address,
    ):
        daemon.wait_for(*(vm.source.pid for vm in vms.values()))
        with Scrapers(daemon.metrics, "fakedirty_visited_pages") as scrapers:
            for name, vm in vms.items():
                mode = {} if name == "db" else {"fake_dirty_mode": "observe"}
                vm.migrate(max_bandwidth=SLOW, downtime_limit=1, autostart=True, **mode)
            for vm in vms.values():
                vm.wait_for_syncs(2)
            assert daemon.said("mode", "skip", "--vm", "web").returncode == 0
            vms["lost"].source.process.kill()
            vms["web"].wait_for_syncs(4)
            wait(lambda: scrapers.scrapes >= 500)
            for name in ("web", "db"):
                vms[name].converge()
            for name in vms:
                daemon.wait_for_recordings(name)
        assert not scrapers.faults
        wait_for(lambda: len(values(address, "fakedirty_migrations_total")) == len(vms))
        recording = load(daemon.out)
        compared = {name: check_prometheus_has_it(address, recording, name) for name in vms}
        assert min(compared.values()) > 30, compared
        assert values(address, 'fakedirty_mode{vm="web", fakedirty_mode="skip"}') == ["1"]
        assert values(address, "sum(fakedirty_migration_active)") == ["0"]
        assert values(address, 'fakedirty_probes_attached{vm="web"} > 0')
        wait_for(lambda: not values(address, 'fakedirty_probes_attached{vm="lost"}'))
        assert daemon.stop() == 3, "of the one that was killed nobody has the totals"
    sources = recording.migrations[recording.migrations["side"] == "source"]
    outcomes = dict(zip(sources["vm"], sources["outcome"], strict=True))
    assert outcomes == {"web": "completed", "db": "completed", "lost": "failed"}
    totals = dict(zip(sources["vm"], sources["totals"], strict=True))
    assert totals == {"web": "equal", "db": "equal", "lost": "unchecked"}
    assert dict(zip(sources["vm"], sources["valid"], strict=True)) == {"web": True, "db": True, "lost": False}
    assert set(sources["downtime_limit_ms"]) == {1}
    assert not recording.rounds["lost_events"].any()


def test_a_service_that_is_killed_disturbs_nothing_and_says_what_it_missed(tmp_path: Path) -> None:
    with pair(qemu_binary(), tmp_path, name="web") as vm:
        with service(tmp_path) as daemon:
            daemon.wait_for(vm.source.pid)
            vm.migrate(max_bandwidth=SLOW, downtime_limit=1, fake_dirty_mode="skip")
            vm.wait_for_syncs(3)
            wait(lambda: bool(list(daemon.out.glob("web/*.partial/rounds.csv"))))
            daemon.kill()
        assert vm.info()["status"] == "active"
        with service(tmp_path) as daemon:  # the socket that the other left is no hindrance
            daemon.wait_for(vm.source.pid)
            vm.wait_for_syncs(vm.info()["ram"]["dirty-sync-count"] + 2)
            told = vm.converge()
            assert told["status"] == "completed"
            daemon.wait_for_recordings("web")
            assert daemon.stop() == 3, daemon.log
        recording = load(daemon.out)
    sources = recording.migrations[recording.migrations["side"] == "source"]
    cut, joined = sources.sort_values("started_at").to_dict("records")
    assert (cut["outcome"], joined["outcome"]) == ("unfinished", "completed")
    assert (joined["partial"], joined["valid"]) == (True, False)
    before = recording.rounds[recording.rounds["migration_id"] == cut["migration_id"]]
    assert len(before) >= 1
    assert before["valid"].all()
    assert joined["total_time_ms"] == told["total-time"]


def test_of_guests_that_are_gone_nothing_is_held(tmp_path: Path) -> None:
    with service(tmp_path, "--listen", "127.0.0.1:0") as daemon:
        before, *_, after = come_and_go(daemon, tmp_path, lambda count: count >= 3 * LANES)
        assert "is not observed" not in daemon.log
        assert after.descriptors == before.descriptors
        assert daemon.stop() == 0, daemon.log


def test_a_qemu_that_answers_nothing_keeps_no_other_waiting(tmp_path: Path) -> None:
    """At level qmp, where that is asked again and again."""
    with (
        guests(tmp_path, web=qemu_binary(), stuck=qemu_binary()) as vms,
        service(tmp_path, "--level", "qmp") as daemon,
    ):
        web, stuck = vms.values()
        daemon.wait_for(web.source.pid, stuck.source.pid)
        stuck.migrate(max_bandwidth=SLOW, downtime_limit=1, fake_dirty_mode="observe")
        stuck.wait_for_syncs(2)
        os.kill(stuck.source.pid, signal.SIGSTOP)
        try:
            web.migrate(max_bandwidth=SLOW, downtime_limit=1, fake_dirty_mode="observe")
            web.wait_for_syncs(3)
            told = daemon.said("mode", "skip", "--vm", "stuck")
            assert (told.returncode, told.stderr[:11]) == (1, "fakedirty: ")
            assert daemon.said("mode", "skip", "--vm", "web").returncode == 0
            web.wait_for_syncs(5)
            web.converge()
            daemon.wait_for_recordings("web")
        finally:
            os.kill(stuck.source.pid, signal.SIGCONT)
        stuck.converge()
        daemon.wait_for_recordings("stuck")
        daemon.stop()
    recording = load(daemon.out)
    own = recording.migrations[recording.migrations["vm"] == "web"]
    assert (list(own["outcome"]), list(own["valid"])) == (["completed"], [True])
    assert list(recording.migrations[recording.migrations["vm"] == "stuck"]["outcome"]) == ["completed"]
