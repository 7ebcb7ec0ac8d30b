"""The lines of a VM's latest rounds, each written once: a round that has ended says the same for ever."""

from __future__ import annotations

from collections.abc import Iterable

from fakedirty.model.round import Round

from .metrics import METRICS
from .readers import ByRound
from .text import Lines, Said, lines, series


class RoundLines:
    """Those of the VM called `vm`."""

    def __init__(self, vm: str) -> None:
        self._vm = vm
        self._written: dict[int, tuple[Round, dict[str, str]]] = {}  # by number: the round, and by metric its lines

    def show(self, rounds: Iterable[Round]) -> None:
        """Have the lines of these rounds, and of no other."""
        before, self._written = self._written, {}
        for r in rounds:
            written = before.get(r.round)
            self._written[r.round] = written if written is not None and written[0] is r else (r, self._write(r))

    def of(self, metric: str) -> Lines:
        """The lines of a metric, a round after the other."""
        text = "".join([by_metric[metric] for _, by_metric in self._written.values()])
        return Lines(text, text)

    def _write(self, r: Round) -> dict[str, str]:
        written = {}
        for metric in METRICS:
            if isinstance(metric.read, ByRound):
                own = series(metric.name, ("vm", *metric.labels))
                said = (Said(own, (self._vm, *labels), value) for labels, value in metric.read.read(r))
                written[metric.name] = lines(said).prometheus
        return written
