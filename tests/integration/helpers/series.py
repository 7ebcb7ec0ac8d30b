"""A bench for the QEMU series, and what must hold after each of its migrations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from fakedirty.lab.guests.recipes import build_guest
from fakedirty.lab.guests.workload import Workload
from fakedirty.lab.machine import Machine
from fakedirty.lab.migrate import PATIENCE_MS, Step
from fakedirty.lab.network import shaped_network
from fakedirty.lab.qemu import qemu_binary
from fakedirty.lab.rig import Rig, compared
from fakedirty.model.enums import Mode
from fakedirty.model.round import broken_law
from fakedirty.observe.decode.qmp_history import history_round
from fakedirty.qmp.client import Qmp
from fakedirty.qmp.mode import set_mode

# every kind of page, the two that break a careless skip always among them
WORKLOAD = Workload(fake=1500, changed=300, zero=300, aba=300, untouched=500, pause_ms=2, memory_mib=64)
SLOW = 12_000_000  # bytes/s: rounds that last many sweeps
TIGHT_MS = 5  # a downtime that the pages to be rewritten never fit
STRONG = ("xxh3-64", "xxh3-128", "sha1", "md5", "murmur3-128")
WEAK = ("crc32", "murmur3-32")


@contextmanager
def bench(workload: Workload = WORKLOAD, more: Sequence[str] = ()) -> Iterator[Rig]:
    """The guest, and a network for it."""
    with shaped_network() as network:
        yield Rig(qemu_binary(), build_guest("baremetal"), workload, network, more=more, name="series")


@contextmanager
def pair(workload: Workload = WORKLOAD, more: Sequence[str] = ()) -> Iterator[tuple[Machine, Machine]]:
    """The guest at work on a source, and a destination that waits for it."""
    with bench(workload, more) as both, both.source() as source, both.destination() as destination:
        yield source, destination


def rounds(qmp: Qmp) -> list[Mapping[str, Any]]:
    """The history of rounds, each obeying every law of conservation."""
    history: list[Mapping[str, Any]] = qmp.execute("query-migration-rounds")["rounds"]
    for each in history:
        assert broken_law(history_round(each, 0)) == "", each
    return history


def assert_equal(source: Machine, destination: Machine) -> None:
    """Every page of every RAM block is the same on both sides."""
    report = compared(source, destination)
    assert report.equal, str(report)


def toggling(mode: Mode, hash: str | None = None) -> Callable[[Qmp], object]:
    """What a step does to change mode and hash."""
    return lambda qmp: set_mode(qmp, mode, hash)


def setting(parameters: Mapping[str, object]) -> Callable[[Qmp], object]:
    """What a step does to set parameters."""
    return lambda qmp: qmp.execute("migrate-set-parameters", parameters)


def let_through(after_round: int) -> Step:
    """The step that lets a migration end, with whatever is still dirty, when so many rounds are over."""
    return Step(setting({"downtime-limit": PATIENCE_MS}), after_round=after_round)
