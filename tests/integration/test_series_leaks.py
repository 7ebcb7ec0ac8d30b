"""Nothing leaks: after what goes wrong, QEMU holds the descriptors, threads and memory that it held before."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from disks import grow
from fakedirty.lab.machine import Machine, machine
from fakedirty.lab.migrate import PATIENCE_MS, PAUSED, PORT, Settings, Step, migrate
from fakedirty.lab.qemu import qemu_binary
from fakedirty.lab.rig import Rig
from fakedirty.lab.tcp_connections import connections, shut
from fakedirty.qmp.client import Qmp, QmpRefusedError
from held import Held, held
from migrating import wait
from series import SLOW, TIGHT_MS, WORKLOAD, bench, pair

SKIP: dict[str, object] = {"fake-dirty-mode": "skip", "fake-dirty-audit": True}  # an audit has a copy of every page
CHANNELS: dict[str, object] = {"multifd-channels": 3}
TIMES = 3
MEMORY_BYTES = WORKLOAD.memory_mib << 20
WAYS: dict[str, tuple[dict[str, bool], dict[str, object]]] = {
    "one writer": ({"multifd": False}, {}),
    "direct-io": ({"multifd": True}, {**CHANNELS, "direct-io": True}),
}
NOT_COMPATIBLE = (
    ("migrate-set-capabilities", {"capabilities": [{"capability": "dirty-bitmaps", "state": True}]}),
    ("migrate", {"uri": "rdma:127.0.0.1:4444"}),
)

Harm = Callable[[Machine, Machine], object]


def break_one(source: Machine, _destination: Machine) -> None:
    """One of multifd's channels, or the only one there is."""
    shut(source.pid, connections(source.pid, PORT)[-1])


def kill(_source: Machine, destination: Machine) -> None:
    destination.process.kill()
    destination.process.wait()


def fails(source: Machine, destination: Machine, settings: Settings, harm: Harm | None = None) -> tuple[Held, int]:
    """A migration that fails, by harm or by itself: what the source held in it, and how much of that for records."""
    seen: list[tuple[Held, int]] = []

    def look(qmp: Qmp) -> None:
        seen.append((held(source.pid), qmp.execute("query-migrate")["fake-dirty"]["table-bytes"]))
        if harm:
            harm(source, destination)

    works = Step(look, in_state="active", ready=lambda: "fake-dirty" in source.qmp.execute("query-migrate"))
    outcome = migrate(source, destination, settings, time_limit=60, steps=[works])
    assert outcome.status == "failed", outcome.final
    [found] = seen
    return found


@contextmanager
def watched(both: Rig, directory: Path) -> Iterator[Machine]:
    """The source, with LeakSanitizer: at the end it quits, and nothing is reported."""
    [library] = subprocess.run(
        ["gcc", "-print-file-name=liblsan.so"], check=True, capture_output=True, text=True
    ).stdout.split()
    with ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("LD_PRELOAD", library)
            patch.setenv("LSAN_OPTIONS", f"log_path={directory}/leaks")
            source = stack.enter_context(both.source())
        yield source
    assert [report.read_text() for report in directory.glob("leaks*")] == []
    assert source.process.returncode == 0


def assert_given_back(source: Machine, before: Held, during: Held) -> Held:
    """All descriptors and threads, of which there were more meanwhile; what is held now."""
    assert sum((during.descriptors - before.descriptors).values()) > 0
    assert sum((during.threads - before.threads).values()) > 0
    with suppress(AssertionError):  # the next line says what is left
        wait(lambda: not held(source.pid).beside(before))
    assert held(source.pid).beside(before) == {}
    return held(source.pid)


def check(source: Machine, once: Callable[[], tuple[Held, int]]) -> None:
    """What goes wrong again and again leaves nothing behind; stacks of threads that ended are QEMU's to use again."""
    before, after = held(source.pid), []
    for _ in range(TIMES):
        during, table_bytes = once()
        assert during.memory_bytes - before.memory_bytes >= table_bytes > MEMORY_BYTES
        after.append(assert_given_back(source, before, during))
    assert after[-1].memory_bytes - after[0].memory_bytes < MEMORY_BYTES


@pytest.mark.parametrize("harm", [break_one, kill])
@pytest.mark.parametrize("multifd", [True, False], ids=["multifd", "one channel"])
def test_a_migration_that_breaks(multifd: bool, harm: Harm, tmp_path: Path) -> None:
    settings = Settings(TIGHT_MS, SLOW, SKIP, {"multifd": multifd}, CHANNELS)
    with bench() as both, watched(both, tmp_path) as source:

        def once() -> tuple[Held, int]:
            with both.destination() as destination:
                return fails(source, destination, settings, harm)

        check(source, once)


@pytest.mark.parametrize("way", WAYS)
def test_a_disk_that_is_full(way: str, small_disk: Path, tmp_path: Path) -> None:
    capabilities, shared = WAYS[way]
    settings = Settings(TIGHT_MS, SLOW, SKIP, {"mapped-ram": True, **capabilities}, shared, small_disk / "guest")
    filling = small_disk / "filling"
    grow(small_disk, MEMORY_BYTES * 2)

    def fill(_source: Machine, _destination: Machine) -> None:
        with (
            Path("/dev/zero").open("rb") as zeros,
            filling.open("wb", buffering=0) as file,
            pytest.raises(OSError, match="No space left"),
        ):
            shutil.copyfileobj(zeros, file)

    with bench() as both, watched(both, tmp_path) as source, both.destination() as destination:

        def once() -> tuple[Held, int]:
            filling.unlink(missing_ok=True)
            return fails(source, destination, settings, fill)

        check(source, once)


def test_what_is_refused_when_the_switchover_has_been_decided() -> None:
    """The memory for records is asked for before that is known."""
    settings = Settings(PATIENCE_MS, SLOW, {"fake-dirty-mode": "off"}, {"pause-before-switchover": True})
    with pair() as (source, destination):

        def ask(qmp: Qmp) -> None:
            before = held(source.pid)
            for _ in range(TIMES):
                with pytest.raises(QmpRefusedError, match="been decided"):
                    qmp.execute("migrate-set-parameters", SKIP)
            after = held(source.pid)
            assert not after.beside(before)
            assert after.memory_bytes - before.memory_bytes < MEMORY_BYTES
            qmp.execute("migrate-continue", state=PAUSED)

        outcome = migrate(source, destination, settings, time_limit=60, steps=[Step(ask, in_state=PAUSED)])
        assert outcome.status == "completed"


def test_what_is_not_compatible() -> None:
    """Where nothing runs, nothing is even asked for."""
    with machine("refusing", qemu_binary(), ["-m", "64", "-S"]) as vm:
        vm.qmp.execute("migrate-set-parameters", SKIP)
        before = held(vm.pid)
        for _ in range(TIMES):
            for command, arguments in NOT_COMPATIBLE:
                with pytest.raises(QmpRefusedError, match="not compatible with"):
                    vm.qmp.execute(command, arguments)
        assert held(vm.pid) == before
