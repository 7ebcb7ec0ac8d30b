"""Memory that comes while a guest is migrated again and again, and memory backends that come and go meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest
from fakedirty.lab.migrate import PAUSED, Settings, Step, migrate
from fakedirty.lab.rig import compared
from fakedirty.qmp.client import Qmp
from qtest import Qtest, qtest, qtest_arguments
from series import SLOW, TIGHT_MS, bench, let_through, rounds

MODULE_BYTES = 8 << 20
MODULES_ADDRESS = 1 << 32
SLOTS = ("-m", "64M,slots=2,maxmem=1G")
LAST_ROUND = 8


def backend(name: str) -> dict[str, object]:
    return {"qom-type": "memory-backend-ram", "id": name, "size": MODULE_BYTES}


def module(number: int) -> dict[str, object]:
    address = MODULES_ADDRESS + number * MODULE_BYTES
    return {"driver": "pc-dimm", "id": f"module{number}", "memdev": f"memory{number}", "addr": address}


def module_options(count: int) -> list[str]:
    """The destination's options for modules that the source got while it ran."""
    options = []
    for number in range(count):
        for option, properties in (("-object", backend(f"memory{number}")), ("-device", module(number))):
            kind, *rest = properties.items()
            options += [option, ",".join([str(kind[1]), *(f"{key}={value}" for key, value in rest)])]
    return options


def plug(qmp: Qmp, number: int) -> None:
    qmp.execute("object-add", backend(f"memory{number}"))
    qmp.execute("device_add", module(number))


def sweep(memory: Qtest, modules: int, number: int) -> None:
    """Write half of each module as it was, the other one A, zero, B, zero in turn."""
    for start in (MODULES_ADDRESS + each * MODULE_BYTES for each in range(modules)):
        memory.fill(start, MODULE_BYTES // 2, 0x11)
        memory.fill(start + MODULE_BYTES // 2, MODULE_BYTES // 2, (0xAA, 0x00, 0xBB, 0x00)[number % 4])


def sweeping(memory: Qtest, modules: int, number: int, over: Event) -> Callable[[Qmp], object]:
    def act(_: Qmp) -> None:
        if not over.is_set():
            sweep(memory, modules, number)

    return act


def going_on(over: Event) -> Step:
    """The step that lets the switchover go on, after which no sweep may come: these do not stop with the VM."""

    def act(qmp: Qmp) -> None:
        over.set()
        qmp.execute("migrate-continue", state=PAUSED)

    return Step(act, in_state=PAUSED)


@pytest.mark.parametrize("xbzrle", [False, True], ids=["plain", "xbzrle"])
def test_memory_plugged_between_migrations_is_sent_and_skipped_as_any_other(xbzrle: bool, tmp_path: Path) -> None:
    """Two attempts are cancelled, a module is plugged after each, and mode and hash change, too."""
    attempts: tuple[Mapping[str, object], ...] = (
        {"fake-dirty-mode": "observe", "fake-dirty-hash": "xxh3-64"},
        {"fake-dirty-mode": "skip", "fake-dirty-hash": "sha1"},
        {"fake-dirty-mode": "skip", "fake-dirty-hash": "xxh3-128", "fake-dirty-audit": True},
    )
    socket = tmp_path / "qtest"
    with bench(more=SLOTS) as both, replace(both, more=(*SLOTS, *qtest_arguments(socket))).source() as source:
        for modules, parameters in enumerate(attempts):
            last = modules == len(attempts) - 1
            with (
                qtest(socket) as memory,
                replace(both, more=(*SLOTS, *module_options(modules))).destination() as destination,
            ):
                over = Event()
                sweep(memory, modules, 0)
                steps = [Step(sweeping(memory, modules, n, over), after_round=n) for n in range(1, LAST_ROUND)]
                cancel = Step(lambda qmp: qmp.execute("migrate_cancel"), after_round=3, in_state=PAUSED)
                steps += [let_through(LAST_ROUND), going_on(over)] if last else [cancel]
                settings = Settings(
                    TIGHT_MS,
                    3 * SLOW,
                    parameters={"fake-dirty-switchover": False, **parameters},
                    capabilities={"xbzrle": xbzrle, "pause-before-switchover": True},
                )
                outcome = migrate(source, destination, settings, time_limit=60, steps=steps)
                history = rounds(source.qmp)
                assert history[0]["first"] == history[0]["visited"], "nothing is known of an earlier migration"
                if not last:
                    assert outcome.status == "cancelled"
                    plug(source.qmp, modules)
                    continue
                assert outcome.status == "completed"
                report = compared(source, destination)
                assert report.equal, str(report)
                assert {"memory0", "memory1"} <= {block.name for block in report.blocks}
                assert outcome.final["fake-dirty"]["false-equal"] == 0
                # half of each module was rewritten as it was, over and over
                assert sum(each["skipped"] for each in history) > modules * MODULE_BYTES // 2 // 4096
