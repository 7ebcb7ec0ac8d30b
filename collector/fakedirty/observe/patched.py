"""The level `patched`: what the trace events of a QEMU with the series say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from fakedirty.model.trace import TraceRecord
from fakedirty.model.words import Level

from . import final_report, headers, levels, usdt
from .bpf import Bpf
from .elf import Binary
from .heard import Losses, by_time
from .probes import probe_file
from .sizes import DEFAULT, Sizes
from .target import Target

HANDLED = ("fake_dirty_batch", "fake_dirty_round", "fake_dirty_mode", "migrate_set_state")


class PatchedTracer:
    """The probes of ``probes/patched.c`` on one QEMU."""

    def __init__(
        self,
        target: Target,
        qmp_paths: Sequence[Path] = (),
        *,
        pages: bool = False,
        sizes: Sizes = DEFAULT,
        probes: Path | None = None,
    ) -> None:
        self._target = target
        self._qmp_paths = qmp_paths
        self._pages = pages
        self._sizes = sizes
        self._file = probe_file("patched.c", probes)
        self._losses = Losses()
        self._bpf: Bpf | None = None

    def attach(self) -> Mapping[str, object]:
        """Compile and attach, one program per USDT location."""
        with Binary(self._target.exe) as binary:
            levels.demand(self._target, Level.PATCHED, binary)
            located = usdt.programs(binary, HANDLED)
            defines = {"TGID": self._target.pid, "PAGES": int(self._pages), **self._sizes.defines()}
            self._bpf = Bpf(self._file, headers.find(), defines, usdt.text(located))
            self._bpf.open_rings(["events", "pages"] if self._pages else ["events"])
            usdt.attach(self._bpf, binary, located, self._target)
        return {"tgid": self._target.pid}

    def poll(self, timeout: float) -> list[TraceRecord]:
        """Losses first, so that the round they fall into carries them; then all else by time."""
        assert self._bpf is not None
        return [*self._losses.since(self._bpf), *by_time(self._bpf.poll(timeout))]

    def report(self, state: str) -> Mapping[str, object]:
        """By QMP."""
        return final_report.ask(self._qmp_paths, state)

    def close(self) -> None:
        """Detach."""
        if self._bpf is not None:
            self._bpf.close()
            self._bpf = None
