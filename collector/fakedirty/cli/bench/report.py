"""What ``fakedirty bench`` says: a line for each run, and tables of medians with their ranges."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median

import numpy as np
from rich.table import Table

from fakedirty.lab.bench import overhead
from fakedirty.lab.bench.convergence import ConvergenceRun, Mix
from fakedirty.lab.bench.cost import ARMS, COMPARED, Cost, paired
from fakedirty.lab.bench.hash_speed import READ, HashSpeed
from fakedirty.lab.bench.scrape_speed import NEWS, WAYS, ScrapeSpeed
from fakedirty.lab.guests.content import PAGE_BYTES

RESAMPLES, RESAMPLE_SEED = 10_000, 1


def convergence_line(made: ConvergenceRun) -> str:
    """One migration on one line."""
    ended = f"{made.total_seconds:.2f} s, downtime {made.downtime_ms} ms" if made.converged else "does not converge"
    sent = f"{made.rounds} rounds, {made.sent_bytes / 1e6:,.0f} MB"
    return f"{made.job.mix} {made.job.treatment}: {ended}, {sent}; {'equal' if made.memory_equal else 'NOT EQUAL'}"


def convergence_tables(
    runs: Sequence[ConvergenceRun], mixes: Sequence[Mix], bytes_per_second: float
) -> Iterator[Table]:
    """One table for each mix, the treatment with the fastest run first."""
    for mix in mixes:
        of_mix = [made for made in runs if made.job.mix == mix.name]
        limit = median(made.limit_seconds(mix, bytes_per_second) for made in of_mix)
        pace = spread([made.sweeps_per_second for made in of_mix], 1)
        table = Table(
            title=f"{mix.name}: {mix.fake_share:.0%} of what is rewritten is fake; {pace} sweeps/s; "
            f"limit {limit:.2f} s = (bulk + {mix.changed_pages:,.0f} changed pages) / line rate",
            title_justify="left",
            title_style="bold",
        )
        for head in ("treatment", "ended", "total s", "/ limit", "downtime ms", "sent MB", "rounds"):
            table.add_column(head, justify="left" if head == "treatment" else "right")
        for name in dict.fromkeys(made.job.treatment for made in sorted(of_mix, key=lambda made: made.total_seconds)):
            group = [made for made in of_mix if made.job.treatment == name]
            ended = [made for made in group if made.converged]
            table.add_row(
                name,
                f"{len(ended)} of {len(group)}",
                *_total(group, ended, limit),
                spread([made.downtime_ms for made in ended if made.downtime_ms is not None], 0),
                spread([made.sent_bytes / 1e6 for made in group], 0),
                spread([made.rounds for made in group], 0),
            )
        yield table


def _total(group: Sequence[ConvergenceRun], ended: Sequence[ConvergenceRun], limit: float) -> tuple[str, str]:
    """Total time and its ratio to the limit; where not all ended, at least what was waited for."""
    seconds = [made.total_seconds for made in group]
    least = "" if len(ended) == len(group) else "> "
    return least + spread(seconds, 2), f"{least}{median(seconds) / limit:.2f}"


def spread(values: Sequence[float], digits: int) -> str:
    """The median and, of several values, the range: ``2.85 (2.71-3.02)``; ``-`` of none."""
    if not values:
        return "-"
    middle, low, high = (f"{value:,.{digits}f}" for value in (median(values), min(values), max(values)))
    return middle if len(values) == 1 else f"{middle} ({low}-{high})"


def cost_line(made: Cost) -> str:
    """One migration on one line."""
    each = f"{made.thread_ns_per_page:,.0f} ns of CPU a page"
    return f"{made.job.arm}: {made.pages:,} pages in {made.pass_seconds:.2f} s, {each}"


def cost_tables(costs: Sequence[Cost]) -> Iterator[Table]:
    """The arms that were measured, and what one adds to another: off to unpatched, observe and skip to off."""
    table = Table(title="by arm: median (range)", title_justify="left", title_style="bold")
    for head in ("arm", "seconds", "pages", "ns of CPU a page", "million pages a CPU second"):
        table.add_column(head, justify="left" if head == "arm" else "right")
    for arm in ARMS:
        if not (own := [made for made in costs if made.job.arm == arm.name]):
            continue
        table.add_row(
            arm.name,
            spread([made.pass_seconds for made in own], 3),
            spread([made.pages for made in own], 0),
            spread([made.thread_ns_per_page for made in own], 0),
            spread([1000 / made.thread_ns_per_page for made in own], 2),
        )
    yield table
    table = Table(title="paired differences: median, 95 % interval", title_justify="left", title_style="bold")
    for head in ("compared", "pairs", "seconds", "CPU of the threads"):
        table.add_column(head, justify="left" if head == "compared" else "right")
    for first, second in COMPARED:
        figures = [paired(costs, first, second, figure) for figure in ("pass_seconds", "thread_ns_per_page")]
        if not figures[0]:
            continue
        table.add_row(f"{second} over {first}", str(len(figures[0])), *(interval(each) for each in figures))
    yield table


def overhead_line(made: overhead.Overhead) -> str:
    """One job on one line."""
    lost = f", {made.lost_events} events lost" if made.lost_events else ""
    seconds = f"{made.base_pass_seconds:.2f} s, observed {made.pass_seconds:.2f} s"
    return f"{made.job.arm}: {made.pages:,} pages in {seconds}; collector {made.collector_seconds:.2f} s{lost}"


GIGABIT_PAGES = 1e9 / 8 / PAGE_BYTES  # pages a second that 1 Gbit/s carries


def overhead_tables(runs: Sequence[overhead.Overhead]) -> Iterator[Table]:
    """What each arm adds to the same migration unobserved, and the collector beside it."""
    by_arm = {arm.name: [made for made in runs if made.job.arm == arm.name] for arm in overhead.ARMS}
    title = "what a migration at full speed pays: median, 95 % interval"
    table = Table(title=title, title_justify="left", title_style="bold")
    heads = (
        "observed",
        "jobs",
        "seconds alone",
        "time",
        "CPU of the migration thread",
        "ns a page",
        "core at 1 Gbit/s",
    )
    for head in heads:
        table.add_column(head, justify="left" if head == "observed" else "right")
    for name, own in by_arm.items():
        table.add_row(
            name,
            str(len(own)),
            spread([made.base_pass_seconds for made in own], 2),
            interval([made.time_share for made in own]),
            interval([made.thread_share for made in own]),
            interval([made.added_ns for made in own], "{:+,.0f}"),
            interval([made.added_ns * 1e-9 * GIGABIT_PAGES for made in own]),
        )
    yield table
    table = Table(title="the collector: median (range)", title_justify="left", title_style="bold")
    for head in ("observed", "CPU s a pass", "pages a CPU s", "MiB at most", "MiB grown", "events lost"):
        table.add_column(head, justify="left" if head == "observed" else "right")
    for name, own in by_arm.items():
        table.add_row(
            name,
            spread([made.collector_seconds for made in own], 3),
            spread([made.pages / made.collector_seconds for made in own], 0),
            spread([made.collector_bytes / (1 << 20) for made in own], 0),
            spread([made.grown_bytes / (1 << 20) for made in own], 1),
            f"{sum(made.lost_events for made in own):,}",
        )
    yield table


def interval(shares: Sequence[float], form: str = "{:+.2%}") -> str:
    """The median of paired differences and the interval that 95 % of the medians of resamples lie in."""
    if not shares:
        return "-"
    values = np.array(shares)
    chosen = np.random.default_rng(RESAMPLE_SEED).integers(0, len(values), (RESAMPLES, len(values)))
    low, high = np.percentile(np.median(values[chosen], axis=1), (2.5, 97.5))
    return f"{form.format(np.median(values))} ({form.format(low)} to {form.format(high)})"


def hash_line(made: HashSpeed) -> str:
    """One run on one line."""
    return ", ".join(f"{name} {ns:,.0f}" for name, ns in made.ns_per_page.items()) + " ns a page"


def hash_tables(runs: Sequence[HashSpeed]) -> Iterator[Table]:
    """The hashes, the fastest first, beside reading: what a page takes, and how the speeds relate within a run."""
    table = Table(title="one page, by hash: median (range)", title_justify="left", title_style="bold")
    for head in ("hash", "ns a page", "GB/s", "of the speed of reading", "times as fast as sha1"):
        table.add_column(head, justify="left" if head == "hash" else "right")
    rows = {name: [made.ns_per_page[name] for made in runs] for name in runs[0].ns_per_page}
    for name, ns in sorted(rows.items(), key=lambda row: (row[0] != READ, median(row[1]))):
        table.add_row(
            name,
            spread(ns, 1),
            spread([PAGE_BYTES / each for each in ns], 1),
            spread([made.ns_per_page[READ] / made.ns_per_page[name] for made in runs], 2),
            spread([made.ns_per_page["sha1"] / made.ns_per_page[name] for made in runs if "sha1" in rows], 1),
        )
    yield table


def scrape_line(made: ScrapeSpeed) -> str:
    """One run on one line."""
    slowest = max(made.first_ms, *(each for by_way in made.ms.values() for each in by_way.values()))
    return f"{made.job.vms} VMs, {made.job.migrating} migrate, {made.series:,} series: {slowest:.1f} ms at most"


def scrape_tables(runs: Sequence[ScrapeSpeed]) -> Iterator[Table]:
    """By host: how much a scrape has, and how long each way of it takes."""
    by_host: dict[tuple[str, ...], list[ScrapeSpeed]] = {}
    for made in sorted(runs, key=lambda made: (made.job.vms, made.job.migrated)):
        by_host.setdefault((str(made.job.vms), str(made.job.migrating), str(made.job.migrated)), []).append(made)
    host_heads = ("VMs", "migrate", "migrated before")
    table = Table(title="size of a scrape, and its effect on the observer", title_justify="left", title_style="bold")
    for head in (*host_heads, "series", *(f"MB {way}" for way in WAYS), "us for a round", "ms late, at most"):
        table.add_column(head, justify="right")
    for host, own in by_host.items():
        table.add_row(
            *host,
            spread([own[0].series], 0),
            *(spread([made.bytes[way] / 1e6 for made in own][:1], 2) for way in WAYS),
            spread([made.round_us for made in own], 0),
            spread([made.late_ms for made in own], 1),
        )
    yield table
    table = Table(title="ms of a scrape: median (range)", title_justify="left", title_style="bold")
    for head in (*host_heads, "since the last scrape", *WAYS):
        table.add_column(head, justify="left" if head.startswith("since") else "right")
    for host, own in by_host.items():
        table.add_row(*host, "it is the first", "", spread([made.first_ms for made in own], 1), "", "")
        for news in NEWS:
            table.add_row(*host, news, *(spread([made.ms[news][way] for made in own], 1) for way in WAYS))
    yield table
