"""Migrations while they run, by lines: what is new since the last look, for a pipe or a log."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .columns import NARROW
from .table import heading, line
from .watch import Watched, unique_names


class NewLines:
    """Remembers the lines of each migration that runs, or that is still shown."""

    def __init__(self) -> None:
        self._shown: dict[str, set[str]] = {}  # by migration id

    def since_last(self, vms: Sequence[Watched]) -> Iterator[str]:
        """The lines that are new since the last call, each with the name of its VM."""
        self._shown = {each.migration_id: self._shown.get(each.migration_id, set()) for each in vms}
        names = unique_names(vms)
        for each in vms:
            shown = self._shown[each.migration_id]
            for text in _lines(each):
                if text not in shown:
                    shown.add(text)
                    yield f"{names[each.process]}: {text}"


def _lines(of: Watched) -> Iterator[str]:
    """All lines about one VM."""
    if not of.state:
        return
    yield f"migration {of.migration_id}, level {of.level}"
    if of.rounds:
        yield heading(NARROW).plain
    yield from (line(NARROW, r).plain for r in of.rounds)
    yield from (f"-- {toggle}" for toggle in of.toggles)
    if of.running and of.verdict:
        yield of.verdict
    if of.running and of.stall:
        yield of.stall
    if of.gone and not of.outcome:
        yield f"gone, last seen {of.state}"
    elif not of.running:
        yield "; ".join(filter(None, (of.state, of.outcome)))
