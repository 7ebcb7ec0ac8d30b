"""Page records of a real migration held against what the guests know: every page class, by page frame."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from fakedirty.lab.experiment import Experiment, Result
from fakedirty.lab.guest_load import GroundTruthLoad
from fakedirty.lab.guests.recipes import build_guest
from fakedirty.lab.guests.workload import Workload
from fakedirty.lab.migrate import Settings
from fakedirty.lab.qemu import qemu_binary
from fakedirty.lab.truth import ClassScore
from fakedirty.model.enums import Level, Mode, PageClass
from judging import judged

BAREMETAL = Workload(fake=300, changed=200, zero=100, aba=100, untouched=300, pause_ms=5, memory_mib=64, stride=2)
LINUX = Workload(fake=6_000, changed=2_000, zero=1_000, aba=1_000, untouched=2_000, pause_ms=5, memory_mib=256)

# slow enough for a round to last many sweeps, and a downtime that the pages to be rewritten never fit
SLOW: Mapping[str, int] = {"baremetal": 4_000_000, "linux": 60_000_000}
DOWNTIME_MS = 10
TIME_LIMIT = 5.0


def migrated(
    name: str,
    workload: Workload,
    mode: Mode,
    out: Path,
    *,
    accelerator: str = "tcg",
    level: Level = Level.PATCHED,
) -> tuple[Result, ClassScore]:
    """A migration with page records, and the judgement of the records."""
    experiment = Experiment(
        vm=name,
        qemu=qemu_binary(),
        load=GroundTruthLoad(build_guest(name), workload),
        level=level,
        settings=Settings(DOWNTIME_MS, SLOW[name], parameters={"fake-dirty-mode": str(mode)}),
        time_limit=TIME_LIMIT,
        accelerator=accelerator,
        pages=True,
    )
    result, recording, verdict = judged(experiment, out)
    assert (recording.pages["class"] == str(PageClass.FAKE)).sum() == result.migration.total("fake_pages")
    return result, verdict


@pytest.mark.parametrize("mode", [Mode.OBSERVE, Mode.SKIP], ids=str)
def test_bare_metal_is_classified_without_a_mistake(mode: Mode, tmp_path: Path) -> None:
    result, verdict = migrated("baremetal", BAREMETAL, mode, tmp_path)
    assert verdict.right_share == 1, str(verdict)
    assert verdict.sets["untouched"].visits == BAREMETAL.untouched
    assert len(result.migration.rounds) > 2
    for name in ("fake", "changed"):
        assert verdict.sets[name].judged > getattr(BAREMETAL, name), "no visit but the first could be judged"


def test_bare_metal_is_classified_from_outside(tmp_path: Path) -> None:
    bare_metal_is_classified_from_outside(Level.STOCK, tmp_path)


def bare_metal_is_classified_from_outside(level: Level, tmp_path: Path) -> None:
    """Hashed when queued: of sets that hold the same between two sweeps, nothing is mistaken."""
    result, verdict = migrated("baremetal", BAREMETAL, Mode.OFF, tmp_path, level=level)
    assert verdict.right_share == 1, str(verdict)
    assert verdict.sets["untouched"].visits == BAREMETAL.untouched
    assert len(result.migration.rounds) > 2
    for name in ("fake", "changed"):
        assert verdict.sets[name].judged > getattr(BAREMETAL, name), "no visit but the first could be judged"


def linux_is_classified(level: Level, mode: Mode, out: Path) -> None:
    """A guest with an operating system, whose own writes are not known."""
    _, verdict = migrated("linux", LINUX, mode, out, level=level)
    assert verdict.right_share is not None
    assert verdict.right_share >= 0.999, str(verdict)
