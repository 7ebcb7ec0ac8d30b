"""Level stock on QEMUs as later releases of Debian ship them, stripped: what the kernel counts is what QEMU counts.

A release is unpacked below the user's cache directory, from the mirror that this machine's apt uses; nothing of
it is installed here.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from fakedirty.model.enums import Level
from fakedirty.observe import doctor
from fakedirty.observe.host.target import find_all
from fakedirty.observe.live import LiveTrace
from fakedirty.observe.observer import Observer
from migrating import SLOW, Notes, capable, check_rounds, pair, running, wait
from mirrors import bootstrap

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "fakedirty/releases"

# in a mount namespace of its own, the release's /usr is ours
RUN = """#!/bin/sh
exec unshare --mount --propagation private sh -c '
    mount --bind {release}/usr /usr && exec /usr/bin/qemu-system-x86_64 "$@"' sh "$@"
"""


@pytest.fixture(params=["trixie", "sid"])
def qemu(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A script that runs the QEMU of a release."""
    release = CACHE / request.param
    if not (release / "complete").exists():
        release.mkdir(parents=True, exist_ok=True)
        bootstrap(request.param, release, "qemu-system-x86", "seabios")
        (release / "complete").touch()
    script = tmp_path / "qemu-system-x86_64"
    script.write_text(RUN.format(release=release))
    script.chmod(0o755)
    return script


@pytest.mark.parametrize("capability", ["", "multifd"], ids=["plain", "multifd"])
def test_every_page_is_counted(capability: str, qemu: Path, tmp_path: Path) -> None:
    notes = Notes()
    with pair(qemu, tmp_path) as vm:
        [target] = [each for each in find_all() if str(vm.source.observer_socket) in map(str, each.monitors)]
        [report] = doctor.examine([target]).targets
        print(report.version)
        assert report.level == "stock"
        assert all(point.emulated for point in report.attach_points), report.attach_points
        trace = LiveTrace(target, Level.STOCK, monitor=vm.source.observer_socket, pages=True)
        with running(Observer(trace, [notes])):
            vm.destination = vm.source.name
            if capability:
                capable(vm, capability)
            vm.migrate(max_bandwidth=SLOW, downtime_limit=1, autostart=True)
            vm.wait_for_syncs(4)
            ram = vm.converge()["ram"]
            wait(lambda: len(notes.over) == 1)
    [migration] = notes.over
    assert migration.valid, [entry.invalid_reason for entry in migration.rounds]
    assert migration.total("normal_pages") == ram["normal"]
    assert migration.total("zero_pages") == ram["duplicate"]
    assert migration.outside_downtime_ns
    check_rounds(migration)
