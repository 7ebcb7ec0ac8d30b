"""Level patched beside multifd with a mode on: channels report pages at once, and every visit is on record once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from fakedirty.lab.guests.workload import Workload
from fakedirty.lab.qemu import qemu_binary
from fakedirty.model.enums import Disposition, Level, PageClass
from fakedirty.model.events import Event, RoundEnded
from fakedirty.model.migration import ENDED, Migration
from fakedirty.observe.decode import wire
from fakedirty.qmp.rounds_command import read_history
from fakedirty.record.pages import pages_of
from fakedirty.record.recorder import Recorder
from migrating import Notes, Pair, capable, observed, pair, wait

CHANNELS = 4
SLOW, UNLIMITED = 100_000_000, 1 << 40  # bytes/s; while all RAM goes that slowly, the guest sweeps over its pages
ROUNDS = 8
#: Many packets in every round, and time between two sweeps, in which the channels have the processors for themselves.
BUSY = Workload(fake=70_000, changed=2_000, zero=1_000, untouched=20_000, pause_ms=200)


@contextmanager
def with_channels(directory: Path) -> Iterator[Pair]:
    """A source whose pages go over several channels, and a destination that waits for them."""
    with pair(qemu_binary(), directory, workload=BUSY) as vm:
        capable(vm, "multifd")
        vm.set(multifd_channels=CHANNELS)
        vm.receive(multifd_channels=CHANNELS)
        yield vm


def run(vm: Pair, mode: str, notes: Notes) -> list[dict[str, Any]]:
    """Migrate as fast as it goes, once all was sent; the history of rounds as QEMU has it.

    It may come to its end between two sweeps.
    """
    vm.set(fake_dirty_mode=mode, fake_dirty_switchover=False)
    vm.migrate(max_bandwidth=SLOW, downtime_limit=1)
    vm.wait_for_syncs(2)
    vm.set(max_bandwidth=UNLIMITED)
    wait(lambda: (info := vm.info())["status"] in ENDED or info.get("ram", {}).get("dirty-sync-count", 0) >= ROUNDS)
    vm.converge()
    wait(lambda: len(notes.over) == 1)
    history: list[dict[str, Any]] = read_history(vm.source.qmp)["rounds"]
    return history


class Ordered(Notes):
    """Notes that know how many batches had come when each round ended."""

    def __init__(self) -> None:
        super().__init__()
        self.before: dict[int, int] = {}

    def changed(self, migration: Migration, event: Event) -> None:
        super().changed(migration, event)
        if isinstance(event, RoundEnded):
            self.before[event.round.round] = len(self.batches)


class Visits:
    """The page records of one round, of all RAM blocks."""

    def __init__(self, notes: Notes, number: int) -> None:
        batches = [batch for batch in notes.batches if batch.round == number]
        records = [np.frombuffer(batch.records, wire.PAGE_RECORD) for batch in batches]
        blocks = Counter(batch.block for batch in batches)
        tags: npt.NDArray[np.uint64] = np.concatenate([each["tag"] for each in records] or [np.empty(0, np.uint64)])
        names = {name: index for index, name in enumerate(blocks)}
        of_block = [np.full(len(one), names[batch.block]) for one, batch in zip(records, batches, strict=True)]
        self.blocks = np.concatenate(of_block or [np.empty(0, np.int64)])
        self.pages = tags >> 16
        self.classes = Counter((tags >> 8 & 0xFF).tolist())
        self.dispositions = Counter((tags & 0xFF).tolist())

    @property
    def repeated(self) -> int:
        """Visits that are on record more than once."""
        places = np.stack([self.blocks, self.pages.astype(np.int64)])
        return int(places.shape[1] - np.unique(places, axis=1).shape[1])

    def counts(self) -> dict[str, int]:
        """By the names of QEMU's history."""
        counted = {"visited": len(self.pages)}
        counted |= {str(word): self.classes[word] for word in PageClass}
        return counted | {str(word): self.dispositions[word] for word in Disposition}


def agree(migration: Migration, notes: Notes, history: list[dict[str, Any]]) -> None:
    """Every page once, in its own round, and as QEMU counts it; nothing lost."""
    assert [entry.invalid_reason for entry in migration.rounds if not entry.valid] == []
    assert migration.valid, migration.reasons
    assert migration.lost_events == {}
    assert [entry.round for entry in migration.rounds] == [entry["round"] for entry in history]
    assert not any(entry["forced-syncs"] for entry in history), "a page may be visited twice"
    for entry in history:
        visits = Visits(notes, entry["round"])
        counts = visits.counts()
        assert counts == {name: entry[name] for name in counts}, f"round {entry['round']}"
        assert visits.repeated == 0, f"round {entry['round']}"


def in_order(notes: Ordered) -> None:
    """No record comes after the end of its round, and those of a page come in the order of its rounds."""
    for number, batch in enumerate(notes.batches):
        assert number < notes.before[batch.round], f"round {batch.round}"
    tags = [np.frombuffer(batch.records, wire.PAGE_RECORD)["tag"] >> 16 for batch in notes.batches]
    rounds = np.concatenate([np.full(len(each), batch.round) for each, batch in zip(tags, notes.batches, strict=True)])
    names = {name: index for index, name in enumerate({batch.block for batch in notes.batches})}
    blocks = [np.full(len(each), names[batch.block]) for each, batch in zip(tags, notes.batches, strict=True)]
    pages = np.concatenate(tags).astype(np.int64) * len(names) + np.concatenate(blocks)
    by_page = np.argsort(pages, kind="stable")
    again = pages[by_page][1:] == pages[by_page][:-1]
    assert again.any()
    assert (np.diff(rounds[by_page])[again] > 0).all()


@pytest.mark.parametrize("mode", ["observe", "skip"])
def test_every_visit_is_on_record_once(mode: str, tmp_path: Path) -> None:
    notes, recorder = Ordered(), Recorder(tmp_path / "out", "run")
    with with_channels(tmp_path) as vm, observed(vm.source, Level.PATCHED, [notes, recorder], pages=True):
        history = run(vm, mode, notes)
    [migration] = notes.over
    agree(migration, notes, history)
    in_order(notes)
    assert sum(entry["fake"] for entry in history) >= BUSY.fake
    on_disk = pages_of(recorder.directories[0])
    assert on_disk is not None
    assert on_disk.count_rows() == sum(entry["visited"] for entry in history)
