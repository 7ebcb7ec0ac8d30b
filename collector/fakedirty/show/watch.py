"""Running migrations on one screen of 80 columns: the pages of each round, toggles, and the forecast."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Group
from rich.text import Text

from fakedirty.format.numbers import seconds, size
from fakedirty.format.progress import bar, dirty_rate_words, percent, progress_words
from fakedirty.format.sentences import share
from fakedirty.model.enums import Kind
from fakedirty.model.progress import Progress
from fakedirty.model.round import Round

from .columns import Column, fitting
from .table import heading, line
from .terminal import harmless

BARS = "▁▂▃▄▅▆▇█"
SHARES_SHOWN = 32  # rounds, in a line of bars
TOGGLES_SHOWN = 3
BAR_WIDTH = 10  # characters of the bar of progress
INDENT = "  "
FEWEST_ROUNDS = 3  # of a migration; with less room only its head is shown


@dataclass(frozen=True, slots=True)
class Watched:
    """A VM, and its last migration if there was one.

    Attributes:
        vm: its name: a label, which other VMs may have too.
        pid: process id of its QEMU, which `start_ticks` makes unique.
        level: level of observation.
        state: of the migration; empty if there was none.
        migration_id: of the migration.
        running: the migration runs.
        valid: its counts are valid.
        gone: the VM left this host.
        seconds: since the migration started, or how long it took.
        round_count: all rounds of the migration.
        rounds: the latest of them.
        toggles: as text.
        verdict: the forecast of a running migration, as text.
        outcome: the outcome of a migration that does not run, as text.
        start_ticks: start time of the QEMU.
        uuid: of the guest; empty if it has none.
        arrived: the guest came to this QEMU by the migration.
        progress: of the migration, as it is now; None if the service does not report it.
        stall: the stall of the migration, as text; empty if there is none.
        dirty_rate: pages that get dirty in a second; None if not known.
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
    arrived: bool = False
    progress: Progress | None = None
    stall: str = ""
    dirty_rate: float | None = None

    @property
    def process(self) -> tuple[int, int]:
        """Process id and start time, which identify the QEMU."""
        return self.pid, self.start_ticks


def unique_names(vms: Sequence[Watched]) -> dict[tuple[int, int], str]:
    """The name of each VM by its process, with the process id where several VMs have the same name."""
    names = Counter(each.vm for each in vms)
    return {each.process: each.vm if names[each.vm] == 1 else f"{each.vm} (pid {each.pid})" for each in vms}


@dataclass(slots=True)
class _Block:
    """The lines of a VM; where there is little room, fewer rounds or only the head are shown."""

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
    """The screen: VMs that migrate come first, each with as many rounds as fit.

    Args:
        vms: all observed VMs.
        width: of the terminal, in characters.
        height: of the terminal, in lines.
    """
    if not vms:
        return Group(Text("no QEMU is observed yet: waiting for one", "dim"))
    order = sorted(
        (each for each in vms if each.state), key=lambda each: (not each.running, not each.rounds, each.gone, each.vm)
    )
    names = unique_names(vms)
    quiet = sorted(names[each.process] for each in vms if not each.state)
    last = [_cut(f"nothing seen of: {', '.join(quiet)}", width, "dim")] if quiet else []
    lines = [*_filled(order, width, height - len(last)), *last]
    for each in lines:  # the terminal may be narrower than the table
        each.no_wrap, each.overflow = True, "crop"
    return Group(*lines)


def _filled(order: Sequence[Watched], width: int, height: int) -> list[Text]:
    """At most `height` lines: migrations with some rounds while they fit, heads of others, the number of the rest."""
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
    if of.running:
        tail += _progress(of, width)
    words = " ".join(filter(None, (of.verdict, of.stall))) if of.running else of.outcome
    tail += [Text(row, "bold") for row in textwrap.wrap(words, width, initial_indent=INDENT, subsequent_indent=INDENT)]
    head = [_head(of, width), *([heading(columns)] if of.rounds else [])]
    return _Block(head, list(_rows(of.rounds, columns)), tail)


def _rows(rounds: Sequence[Round], columns: tuple[Column, ...]) -> Iterator[Text]:
    for r in rounds:
        yield line(columns, r)


def _head(of: Watched, width: int) -> Text:
    """The head of a VM; if it is too long, the name of the VM is cut."""
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


def _progress(of: Watched, width: int) -> Iterator[Text]:
    """How far the migration has come, when it will end, and what its guest dirties; nothing if nothing is known."""
    known = of.progress or Progress()
    drawn = "" if known.ratio is None else f"{bar(known.ratio, BAR_WIDTH)} {percent(known.ratio)}"
    rate = "" if of.dirty_rate is None else f"dirties {dirty_rate_words(of.dirty_rate)}"
    words = "; ".join(filter(None, (progress_words(known), rate)))
    if drawn or words:
        yield _cut(INDENT + " ".join(filter(None, (drawn, words))), width, "cyan")


def _shares(rounds: Sequence[Round]) -> Iterator[Text]:
    """The share of fake pages in each round after the first, as bars; and the bytes that were saved."""
    again = [r for r in rounds if r.kind is not Kind.BULK]
    shares = [(r.fake_pages or 0) / r.visited_pages for r in again if r.fake_pages is not None and r.visited_pages]
    if not shares:
        return
    bars = "".join(BARS[min(len(BARS) - 1, int(each * len(BARS)))] for each in shares[-SHARES_SHOWN:])
    seen = [r.saved_bytes for r in rounds if r.saved_bytes is not None]
    saved = f"; saved {size(sum(seen))}" if seen else ""
    yield Text.assemble("fake ", (bars, "red"), f" {share(shares[-1])} of the last round{saved}")
