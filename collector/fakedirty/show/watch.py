"""Migrations as they go, on one screen of 80 columns: what each round was made of, toggles, and the verdict."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Group
from rich.text import Text

from fakedirty.format.numbers import seconds, size
from fakedirty.format.sentences import share
from fakedirty.model.enums import Kind
from fakedirty.model.round import Round

from .columns import Column, fitting
from .table import heading, line
from .terminal import harmless

BARS = "▁▂▃▄▅▆▇█"
SHARES_SHOWN = 32  # rounds, in a line of bars
TOGGLES_SHOWN = 3
INDENT = "  "
FEWEST_ROUNDS = 3  # of a migration that is shown with its rounds


@dataclass(frozen=True, slots=True)
class Watched:
    """A VM, and its last migration if there was one: the latest `rounds` of `round_count`.

    Its name is a label, which others may have too: process id and `start_ticks` say which QEMU it is, and `uuid`, where
    it has one, which guest.
    `state` is empty where there was none. `seconds` are those since it started, or that it took. `toggles`, the
    `verdict` on one that runs, and the `outcome` of one that does not, are in words. `gone` is one that left the host.
    """

    vm: str
    pid: int
    level: str
    state: str = ""
    migration_id: str = ""
    running: bool = False
    valid: bool = True
    gone: bool = False
    seconds: float = 0.0
    round_count: int = 0
    rounds: Sequence[Round] = ()
    toggles: Sequence[str] = ()
    verdict: str = ""
    outcome: str = ""
    start_ticks: int = 0
    uuid: str = ""
    arrived: bool = False  # its guest came to it by the last migration

    @property
    def process(self) -> tuple[int, int]:
        """What tells it from all others."""
        return self.pid, self.start_ticks


def told_apart(vms: Sequence[Watched]) -> dict[tuple[int, int], str]:
    """The name of each process, with its process id where others have that name."""
    names = Counter(each.vm for each in vms)
    return {each.process: each.vm if names[each.vm] == 1 else f"{each.vm} (pid {each.pid})" for each in vms}


@dataclass(slots=True)
class _Block:
    """The lines of a VM; where there is little room, it has fewer rounds, or its head alone."""

    head: list[Text]
    rounds: list[Text]
    tail: list[Text]

    def lines(self, rounds: int) -> list[Text]:
        body = [*self.rounds[len(self.rounds) - min(rounds, len(self.rounds)) :], *self.tail]
        return [*self.head, *body, Text()] if body else self.head

    @property
    def least(self) -> int:
        return len(self.lines(FEWEST_ROUNDS))


def screen(vms: Sequence[Watched], width: int, height: int) -> Group:
    """All of them: those that migrate first, each with as many rounds as there is room for."""
    if not vms:
        return Group(Text("no QEMU is observed: it waits for one", "dim"))
    order = sorted(
        (each for each in vms if each.state), key=lambda each: (not each.running, not each.rounds, each.gone, each.vm)
    )
    names = told_apart(vms)
    quiet = sorted(names[each.process] for each in vms if not each.state)
    last = [_cut(f"nothing seen of: {', '.join(quiet)}", width, "dim")] if quiet else []
    lines = [*_filled(order, width, height - len(last)), *last]
    for each in lines:  # of a terminal that is narrower than the table
        each.no_wrap, each.overflow = True, "crop"
    return Group(*lines)


def _filled(order: Sequence[Watched], width: int, height: int) -> list[Text]:
    """As many lines at most: whole migrations while there is room for some rounds of each, heads, and a number."""
    blocks = [_block(of, width) for of in order]
    whole = len(blocks)
    while whole and sum(block.least for block in blocks[:whole]) + (whole < len(blocks)) > height:
        whole -= 1
    heads = [block.head[0] for block in blocks[whole:]]
    room = height - sum(block.least for block in blocks[:whole])
    if len(heads) > room:
        heads = [*heads[: max(0, room - 1)], _cut(f"and {len(heads) - max(0, room - 1)} more", width, "dim")]
    room -= len(heads)
    lines: list[Text] = []
    for left, block in zip(range(whole, 0, -1), blocks, strict=False):
        shown = block.lines(FEWEST_ROUNDS + room // left)
        room -= len(shown) - block.least
        lines += shown
    return [*lines, *heads]


def _block(of: Watched, width: int) -> _Block:
    columns = fitting(width)
    tail = [*_shares(of.rounds), *(_cut(f"-- {toggle}", width, "magenta") for toggle in of.toggles[-TOGGLES_SHOWN:])]
    words = of.verdict if of.running else of.outcome
    tail += [Text(row, "bold") for row in textwrap.wrap(words, width, initial_indent=INDENT, subsequent_indent=INDENT)]
    head = [_head(of, width), *([heading(columns)] if of.rounds else [])]
    return _Block(head, list(_rows(of.rounds, columns)), tail)


def _rows(rounds: Sequence[Round], columns: tuple[Column, ...]) -> Iterator[Text]:
    for r in rounds:
        yield line(columns, r)


def _head(of: Watched, width: int) -> Text:
    """What does not fit is the end of the VM's name."""
    words = of.state + ("" if of.valid else ", not valid") + (", gone" if of.gone else "")
    style = "bold green" if of.running else "bold" if of.valid else "bold red"
    rest = Text.assemble(f"  pid {of.pid}, level {of.level}, {of.migration_id}: ", (words, style))
    if of.running:
        rest.append(f" in round {of.round_count + 1}, {seconds(of.seconds)} s")
    return _cut(of.vm, max(8, width - rest.cell_len), "bold").append_text(rest)


def _cut(text: str, width: int, style: str) -> Text:
    found = Text(harmless(text), style)
    found.truncate(width, overflow="ellipsis")
    return found


def _shares(rounds: Sequence[Round]) -> Iterator[Text]:
    """The share of fake pages of each round after the first, as bars; and what was saved in them."""
    again = [r for r in rounds if r.kind is not Kind.BULK]
    shares = [(r.fake_pages or 0) / r.visited_pages for r in again if r.fake_pages is not None and r.visited_pages]
    if not shares:
        return
    bars = "".join(BARS[min(len(BARS) - 1, int(each * len(BARS)))] for each in shares[-SHARES_SHOWN:])
    seen = [r.saved_bytes for r in rounds if r.saved_bytes is not None]
    saved = f"; saved {size(sum(seen))}" if seen else ""
    yield Text.assemble("fake ", (bars, "red"), f" {share(shares[-1])} of the last round{saved}")
