"""What ``fakedirty bench step`` and ``bench scaling`` show: what a page takes, and what a second thread adds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from rich.table import Table

from fakedirty.lab.bench.scaling import ARMS, Scaling, most_speedup
from fakedirty.lab.bench.step_speed import StepSpeed

from .report import interval, spread

ALONE, ONE, TWO = ARMS


def step_line(made: StepSpeed) -> str:
    """One run on one line."""
    return f"{made.one_ns:.1f} ns a page on one thread, {made.two_ns:.1f} on two: {made.speedup:.2f} times as fast"


def step_tables(runs: Sequence[StepSpeed]) -> Iterator[Table]:
    """What a page takes on one and two threads, and how these relate within a run."""
    table = Table(title="copy, hash, classify: median (range)", title_justify="left", title_style="bold")
    for head in ("threads", "ns a page", "times as fast"):
        table.add_column(head, justify="right")
    table.add_row("1", spread([made.one_ns for made in runs], 1), "")
    table.add_row("2", spread([made.two_ns for made in runs], 1), spread([made.speedup for made in runs], 2))
    yield table


def scaling_line(made: Scaling) -> str:
    """One migration on one line."""
    cpu = f"CPU {made.main_ns:.0f} ns in the migration thread, {made.channel_ns:.0f} in channels"
    return f"{made.job.arm}: {made.pages:,} fake pages, {made.path_ns:.0f} ns a page; {cpu}"


def scaling_tables(runs: Sequence[Scaling]) -> Iterator[Table]:
    """What a page takes on each path; then what the second channel adds, and what two cores allow it to add."""
    table = Table(title="rounds of fake pages, ns a page: median (range)", title_justify="left", title_style="bold")
    heads = ("path", "pages", "time", "CPU, migration thread", "CPU, channels", "CPU, all", "copy and hash")
    for head in heads:
        table.add_column(head, justify="left" if head == "path" else "right")
    for name in ARMS:
        own = [made for made in runs if made.job.arm == name]
        table.add_row(
            name,
            spread([made.pages for made in own], 0),
            *(spread([figure(made) for made in own], 0) for figure in (_path, _queue, _channels, _all, _hash)),
        )
    yield table
    table = Table(title="paired, of each repetition: median, 95 % interval", title_justify="left", title_style="bold")
    table.add_column("compared")
    table.add_column("pairs", justify="right")
    table.add_column("", justify="right")
    by_job = {(made.job.repetition, made.job.arm): made for made in runs}
    pairs = [
        (by_job[number, ALONE], by_job[number, ONE], by_job[number, TWO])
        for number in sorted({made.job.repetition for made in runs})
        if all((number, name) in by_job for name in ARMS)
    ]
    for words, figure in RELATIONS.items():
        table.add_row(words, str(len(pairs)), interval([figure(*each) for each in pairs], "{:.2f}"))
    yield table


def _path(made: Scaling) -> float:
    return made.path_ns


def _queue(made: Scaling) -> float:
    return made.main_ns


def _channels(made: Scaling) -> float:
    return made.channel_ns


def _all(made: Scaling) -> float:
    return made.main_ns + made.channel_ns


def _hash(made: Scaling) -> float:
    return made.hash_ns


def _gained(one: Scaling, two: Scaling) -> float:
    return one.path_ns / two.path_ns


def _gainable(one: Scaling) -> float:
    """h is what a channel takes for a page, q what the migration thread does, both on their own cores."""
    return most_speedup(one.channel_ns, one.main_ns)


#: Of a repetition: without multifd, with one channel, with two.
RELATIONS: dict[str, Callable[[Scaling, Scaling, Scaling], float]] = {
    "two channels, times as fast as one": lambda _alone, one, two: _gained(one, two),
    "what two cores allow: 2h / (h + q)": lambda _alone, one, _two: _gainable(one),
    "that of this": lambda _alone, one, two: _gained(one, two) / _gainable(one),
    "CPU of a page in channels, two by one": lambda _alone, one, two: two.channel_ns / one.channel_ns,
    "copy and hash, one channel by no multifd": lambda alone, one, _two: one.hash_ns / alone.hash_ns,
    "CPU of a page, all threads, one channel by no multifd": lambda alone, one, _two: _all(one) / _all(alone),
    "CPU of a page, all threads, two channels by no multifd": lambda alone, _one, two: _all(two) / _all(alone),
}
