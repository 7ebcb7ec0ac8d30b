"""Migrations as they go, on one screen of 80 columns: what each round was made of, toggles, and the verdict."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from fakedirty.model.round import Round
from fakedirty.model.words import Kind

from .columns import fitting
from .figures import size
from .table import heading, line

BARS = "▁▂▃▄▅▆▇█"
SHARES_SHOWN = 32  # rounds, in a line of bars
HEAD_LINES = 8  # of a VM, beside its rounds


@dataclass(frozen=True, slots=True)
class Watched:
    """A VM, and its last migration if there was one: the latest `rounds` of `round_count`.

    `state` is empty where there was none; `toggles` and the `verdict` are in words; `seconds` are those of its rounds.
    """

    vm: str
    pid: int
    level: str
    state: str = ""
    migration_id: str = ""
    running: bool = False
    valid: bool = True
    seconds: float = 0.0
    round_count: int = 0
    rounds: Sequence[Round] = ()
    toggles: Sequence[str] = ()
    verdict: str = ""


def screen(vms: Sequence[Watched], width: int, height: int) -> RenderableType:
    """All of them: those that migrate first, each with as many rounds as there is room for."""
    if not vms:
        return Text("no QEMU is observed: it waits for one", "dim")
    order = sorted(vms, key=lambda each: (not each.running, not each.state, each.vm))
    shown = [each for each in order if each.state]
    room = max(3, (height - 2) // max(1, len(shown)) - HEAD_LINES)
    parts: list[RenderableType] = []
    for each in shown:
        parts += [*_of_one(each, width, room), Text()]
    quiet = [each.vm for each in order if not each.state]
    if quiet:
        parts.append(Text(f"nothing seen of: {', '.join(quiet)}", "dim"))
    return Group(*parts)


def _of_one(of: Watched, width: int, room: int) -> Iterator[RenderableType]:
    state = of.state if of.valid else f"{of.state}, not valid"
    head = Text.assemble(
        (of.vm, "bold"),
        f"  pid {of.pid}, level {of.level}, migration {of.migration_id}: ",
        (state, "bold green" if of.running else "bold" if of.valid else "bold red"),
        f", {of.round_count} rounds, {of.seconds:.1f} s",
    )
    yield head
    columns = fitting(width)
    yield heading(columns)
    for r in of.rounds[-room:]:
        yield line(columns, r)
    yield from _shares(of.rounds)
    for toggle in of.toggles[-3:]:
        yield Text(f"-- {toggle}", "magenta")
    if of.verdict:
        yield Padding(Text(of.verdict, "bold"), (0, 0, 0, 2))


def _shares(rounds: Sequence[Round]) -> Iterator[Text]:
    """The share of fake pages of each round after the first, as bars; and what was saved in them."""
    again = [r for r in rounds if r.kind is not Kind.BULK]
    shares = [(r.fake_pages or 0) / r.visited_pages for r in again if r.fake_pages is not None and r.visited_pages]
    if not shares:
        return
    bars = "".join(BARS[min(len(BARS) - 1, int(share * len(BARS)))] for share in shares[-SHARES_SHOWN:])
    saved = size(sum(r.saved_bytes or 0 for r in rounds))
    yield Text.assemble("fake ", (bars, "red"), f" {shares[-1]:.0%} of the last round; saved {saved}")
