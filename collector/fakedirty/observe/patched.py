"""The level `patched`: what the trace events of a QEMU with the series say."""

from __future__ import annotations

from pathlib import Path

from fakedirty.model.sink import PageBatch
from fakedirty.model.words import Level

from . import headers, levels, usdt, wire
from .bpf import Bpf, now_ns
from .elf import Binary
from .losses import Losses
from .patched_reader import PatchedReader
from .probes import probe_file
from .source import Observed
from .target import Target

HANDLED = ("fake_dirty_batch", "fake_dirty_round", "fake_dirty_mode", "migrate_set_state")


class PatchedSource:
    """The probes of ``probes/patched.c`` on one QEMU."""

    def __init__(self, target: Target, *, pages: bool = False, probes: Path | None = None) -> None:
        self._target = target
        self._pages = pages
        self._file = probe_file("patched.c", probes)
        self._reader = PatchedReader(target.pid)
        self._losses = Losses()
        self._bpf: Bpf | None = None

    def attach(self) -> None:
        """Compile and attach, one program per USDT location."""
        with Binary(self._target.exe) as binary:
            levels.demand(self._target, Level.PATCHED, binary)
            located = usdt.programs(binary, HANDLED)
            defines = {"TGID": self._target.pid, "PAGES": int(self._pages)}
            self._bpf = Bpf(self._file, headers.find(), defines, usdt.text(located))
            self._bpf.open_rings(["events", "pages"] if self._pages else ["events"])
            usdt.attach(self._bpf, binary, located, self._target)

    def poll(self, timeout: float) -> list[Observed]:
        """Losses first, so that the round they fall into carries them; then all else by time."""
        assert self._bpf is not None
        taken = self._bpf.poll(timeout)
        observed: list[Observed] = list(self._losses.since(self._bpf.counters("lost"), now_ns()))
        events = [wire.decode(raw) for raw in taken["events"]]
        batches = [self._reader.batch(raw) for raw in taken.get("pages", [])]
        for entry in sorted([*batches, *events], key=_time):
            if isinstance(entry, PageBatch):
                observed.append(entry)
            else:
                observed.extend(self._reader.take(entry))
        return observed

    def close(self) -> None:
        """Detach."""
        if self._bpf is not None:
            self._bpf.close()
            self._bpf = None


def _time(entry: PageBatch | wire.Wire) -> int:
    return entry.time_ns if isinstance(entry, PageBatch) else int(entry.header.time_ns)
