"""RAM that is not one block of small pages: several blocks, blocks that do not migrate, huge pages of the host."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import pytest
from fakedirty.lab.guests.workload import Workload
from fakedirty.lab.migrate import Settings, Step, migrate
from fakedirty.lab.rig import compared
from hugepages import huge_pages, on_huge_pages
from series import SLOW, TIGHT_MS, let_through, pair, rounds

SPREAD = Workload(fake=1500, changed=300, zero=300, aba=300, untouched=500, pause_ms=2, memory_mib=64, stride=5)


@dataclass(frozen=True)
class Memory:
    """How QEMU is given a guest's memory: blocks that its sets lie in, and blocks that there are besides."""

    name: str
    workload: Workload
    options: Sequence[str]
    blocks: Sequence[str]
    huge_mib: int = 0

    def reserved(self) -> AbstractContextManager[None]:
        """The huge pages that both sides take."""
        return (
            huge_pages(self.huge_mib, 2 * self.workload.memory_mib // self.huge_mib) if self.huge_mib else nullcontext()
        )


def numa(memory_mib: int, nodes: int) -> list[str]:
    """Options for memory in as many blocks as nodes."""
    options = []
    for node in range(nodes):
        options += ["-object", f"memory-backend-ram,id=node{node},size={memory_mib // nodes}M"]
        options += ["-numa", f"node,nodeid={node},memdev=node{node}"]
    return options


MEMORIES = (
    Memory("two blocks", SPREAD, numa(64, 2), ("node0", "node1")),
    Memory("huge pages of 2 MiB", SPREAD, on_huge_pages(64, 2), ("huge",), huge_mib=2),
)


@pytest.mark.parametrize("xbzrle", [False, True], ids=["plain", "xbzrle"])
@pytest.mark.parametrize("memory", MEMORIES, ids=lambda memory: memory.name)
def test_skipping_is_right_however_memory_is_made_up(memory: Memory, xbzrle: bool) -> None:
    parameters = {"fake-dirty-mode": "skip", "fake-dirty-switchover": False, "fake-dirty-audit": True}
    settings = Settings(TIGHT_MS, 2 * SLOW, parameters=parameters, capabilities={"xbzrle": xbzrle})
    with memory.reserved(), pair(memory.workload, memory.options) as (source, destination):
        outcome = migrate(source, destination, settings, time_limit=60, steps=[let_through(after_round=6)])
        assert outcome.status == "completed"
        report = compared(source, destination)
        history = rounds(source.qmp)
    assert report.equal, str(report)
    assert set(memory.blocks) <= {block.name for block in report.blocks}
    assert history[0]["dirty"] == report.pages
    assert sum(each["skipped"] for each in history) > 1000
    assert outcome.final["fake-dirty"]["false-equal"] == 0


def test_a_block_that_is_ignored_is_neither_sent_nor_recorded(tmp_path: Path) -> None:
    """Both sides have the lower half of the memory in one file; only the upper one migrates."""
    shared = f"memory-backend-file,id=node0,size=32M,share=on,mem-path={tmp_path}/memory"
    options = ["-object", shared, "-numa", "node,nodeid=0,memdev=node0", *numa(64, 2)[4:]]
    settings = Settings(
        TIGHT_MS,
        SLOW,
        parameters={"fake-dirty-mode": "skip", "fake-dirty-switchover": False},
        capabilities={"x-ignore-shared": True},
    )
    tables: list[int] = []
    look = Step(lambda qmp: tables.append(qmp.execute("query-migrate")["fake-dirty"]["table-bytes"]), after_round=1)
    with pair(SPREAD, options) as (source, destination):
        outcome = migrate(source, destination, settings, time_limit=60, steps=[look, let_through(after_round=8)])
        assert outcome.status == "completed"
        report = compared(source, destination)
        history = rounds(source.qmp)
    assert report.equal, str(report)
    ignored = 32 * 256
    assert history[0]["dirty"] == report.pages - ignored
    assert sum(each["skipped"] for each in history) > 100
    migrated = report.pages - ignored
    assert 8 * migrated <= tables[0] <= 9 * migrated, "a 64-bit hash and a bit for each page that migrates"
