"""What ``fakedirty bench compression`` shows: by mix, each treatment beside its own limit, and whether it was fair."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import median

from rich.table import Table

from fakedirty.lab.bench.compression import LEAST_RATIO, LEAST_ROUNDS, MOST_OF_CODEC, fair, limit_seconds
from fakedirty.lab.bench.convergence import ConvergenceRun, Mix
from fakedirty.lab.treatments import Treatment

from .report import convergence_line, spread

HEADS = ("treatment", "ended", "total s", "limit s", "/ limit", "/ skip", "/ alone", "downtime ms", "sent MB", "rounds")


def compression_line(made: ConvergenceRun) -> str:
    """One migration on one line, with what the codec alone did before it."""
    if made.codec_ratio is None or made.codec_bytes_per_second is None:
        return convergence_line(made)
    codec = f"ratio {made.codec_ratio:.2f}, {made.codec_bytes_per_second / 1e6:.0f} MB/s a thread"
    return f"{convergence_line(made)}; the codec alone: {codec}"


def compression_tables(
    runs: Sequence[ConvergenceRun], mixes: Sequence[Mix], treatments: Mapping[str, Treatment], bytes_per_second: float
) -> Iterator[Table]:
    """One table for each mix, the treatment with the fastest run first; then the conditions for each mix and codec.

    The limit is a treatment's own. ``/ skip`` and ``/ alone`` are its time by that of skip, and of the same compression
    without skip.
    """
    for mix in mixes:
        of_mix = [made for made in runs if made.job.mix == mix.name]
        pace = spread([made.sweeps_per_second * mix.workload.written for made in of_mix], 0)
        table = Table(
            title=f"{mix.name}: {mix.fake_share:.0%} of what is rewritten is fake; {pace} pages/s are written; "
            f"link {bytes_per_second / 1e6:.0f} MB/s",
            title_justify="left",
            title_style="bold",
        )
        for head in HEADS:
            table.add_column(head, justify="left" if head == "treatment" else "right")
        groups = {
            name: [made for made in of_mix if made.job.treatment == name]
            for name in dict.fromkeys(
                made.job.treatment for made in sorted(of_mix, key=lambda made: made.total_seconds)
            )
        }
        for name, group in groups.items():
            ended = [made for made in group if made.converged]
            limit = median(limit_seconds(made, mix, treatments[name], bytes_per_second) for made in group)
            table.add_row(
                name,
                f"{len(ended)} of {len(group)}",
                _least(group) + spread([made.total_seconds for made in group], 2),
                f"{limit:.2f}",
                f"{_least(group)}{median(made.total_seconds for made in group) / limit:.2f}",
                _by(group, groups.get("skip", [])),
                _by(group, groups.get(name.removeprefix("skip+"), [])) if name.startswith("skip+") else "",
                spread([made.downtime_ms for made in ended if made.downtime_ms is not None], 0),
                spread([made.sent_bytes / 1e6 for made in group], 0),
                spread([made.rounds for made in group], 0),
            )
        yield table
    yield _conditions(runs, mixes, treatments, bytes_per_second)


def _conditions(
    runs: Sequence[ConvergenceRun], mixes: Sequence[Mix], treatments: Mapping[str, Treatment], bytes_per_second: float
) -> Table:
    table = Table(
        title=f"fair on two cores: ratio {LEAST_RATIO:g} or more, the link at most {MOST_OF_CODEC:g} of what a thread "
        f"compresses to, and {LEAST_ROUNDS} rounds or more without skip",
        title_justify="left",
        title_style="bold",
    )
    for head in ("mix", "codec", "ratio", "MB/s a thread", "link of that", "rounds at least", "fair"):
        table.add_column(head, justify="left" if head in ("mix", "codec") else "right")
    for mix in mixes:
        for codec in dict.fromkeys(each.codec for each in treatments.values() if each.codec):
            found = fair([made for made in runs if made.job.mix == mix.name], codec, bytes_per_second)
            if found:
                table.add_row(
                    mix.name,
                    codec,
                    f"{found.ratio:.2f}",
                    f"{found.codec_bytes_per_second / 1e6:.0f}",
                    f"{found.share_of_codec:.2f}",
                    str(found.rounds),
                    "yes" if found.holds else "no",
                )
    return table


def _least(group: Sequence[ConvergenceRun]) -> str:
    """What stands before the time of a group, of which some did not end: at least."""
    return "" if all(made.converged for made in group) else "> "


def _by(group: Sequence[ConvergenceRun], other: Sequence[ConvergenceRun]) -> str:
    """The time of one group by that of another: at least, at most, or, where both have not ended, not to be known."""
    if not other or group is other:
        return ""
    signs = bool(_least(group)), bool(_least(other))
    if all(signs):
        return "-"
    sign = "> " if signs[0] else "< " if signs[1] else ""
    return f"{sign}{median(made.total_seconds for made in group) / median(made.total_seconds for made in other):.2f}"
