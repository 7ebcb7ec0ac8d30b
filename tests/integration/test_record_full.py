"""A disk that is really full: the recording stops and says so, and what was recorded stays readable."""

from __future__ import annotations

import os
from pathlib import Path

import fakedirty
import pytest
from fakedirty.errors import RecordError
from fakedirty.model.events import RoundEnded
from fakedirty.record.recorder import Recorder
from made_migrations import START, again, batch, made

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: for BPF, network namespaces and mounts")


@pytest.mark.parametrize("pages", [False, True], ids=["rounds", "pages"])
def test_recording_until_nothing_fits(small_disk: Path, pages: bool) -> None:
    to, migration = Recorder(small_disk, "run"), made()
    to.started(migration)
    told: list[RecordError] = []
    for number in range(2, 5_000):
        try:
            if pages:
                to.pages(migration, batch(number * 7_919, 256, number))
            event = RoundEnded(START, again(number, skip=True))
            migration.apply(event)
            to.changed(migration, event)
        except RecordError as error:
            told.append(error)
    to.ended(migration)
    assert len(told) == 1
    assert "No space left" in str(told[0])
    assert to.failure is told[0]
    recording = fakedirty.load(small_disk)
    assert 0 < len(recording.rounds) < 4_998
    assert list(recording.rounds["round"]) == list(range(2, 2 + len(recording.rounds)))
    assert recording.rounds["valid"].all()
    assert len(recording.pages) % 256 == 0
    assert bool(len(recording.pages)) == pages


def test_a_disk_that_is_full_from_the_start(small_disk: Path) -> None:
    (small_disk / "ballast").write_bytes(b"\0" * 128 * 1024)
    to = Recorder(small_disk, "run")
    with pytest.raises(RecordError, match="No space left"):
        to.started(made())
    to.ended(made())
