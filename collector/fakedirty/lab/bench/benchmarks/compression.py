"""The benchmark of compression: each treatment beside its own limit, and whether the comparison was fair."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import median

from rich.table import Table

from fakedirty.lab.bench import compression
from fakedirty.lab.bench.compression import LEAST_RATIO, LEAST_ROUNDS, MOST_OF_CODEC, check_fairness, limit_seconds
from fakedirty.lab.bench.convergence import ConvergenceRun, Mix
from fakedirty.lab.treatments import COMPRESSION_TREATMENTS, Treatment

from .benchmark import Benchmark, BenchmarkOptions
from .convergence import by_treatment, choose, convergence_line, lower_bound, treatment_fields
from .statistics import spread
from .titled_table import titled_table

HEADS = ("treatment", "ended", "total s", "limit s", "/ limit", "/ skip", "/ alone", "downtime ms", "sent MB", "rounds")


def compression_benchmark(options: BenchmarkOptions) -> Benchmark:
    """The benchmark of skip, of compression, and of both."""
    choice = choose(options, compression.MIXES, COMPRESSION_TREATMENTS)
    link_bits = options.link_bits(compression.MBIT * 1_000_000)
    return Benchmark(
        **treatment_fields(options, choice, compression.measure, link_bits, text_words=compression.TEXT),
        line=compression_line,
        tables=lambda runs: compression_tables(runs, list(choice.mixes.values()), choice.treatments, link_bits / 8),
        most_seconds=options.time_limit + 20.0,  # to boot, measure the codec alone, let through and compare
    )


def compression_line(run: ConvergenceRun) -> str:
    """One migration on one line, with the measurement of the codec alone."""
    if run.codec_ratio is None or run.codec_bytes_per_second is None:
        return convergence_line(run)
    codec = f"ratio {run.codec_ratio:.2f}, {run.codec_bytes_per_second / 1e6:.0f} MB/s a thread"
    return f"{convergence_line(run)}; the codec alone: {codec}"


def compression_tables(
    runs: Sequence[ConvergenceRun], mixes: Sequence[Mix], treatments: Mapping[str, Treatment], bytes_per_second: float
) -> Iterator[Table]:
    """One table for each mix, then the conditions of a fair comparison for each mix and codec.

    The treatment with the fastest run comes first. The limit is that of the treatment. ``/ skip`` and ``/ alone`` are
    its time divided by that of skip, and by that of the same compression without skip.
    """
    for mix in mixes:
        of_mix = [run for run in runs if run.job.mix == mix.name]
        pace = spread([run.sweeps_per_second * mix.workload.written for run in of_mix], 0)
        table = titled_table(
            f"{mix.name}: {mix.fake_share:.0%} of the rewritten pages are fake; {pace} pages/s are written; "
            f"link {bytes_per_second / 1e6:.0f} MB/s",
            HEADS,
            left=("treatment",),
        )
        groups = by_treatment(of_mix)
        for name, group in groups.items():
            ended = [run for run in group if run.converged]
            limit = median(limit_seconds(run, mix, treatments[name], bytes_per_second) for run in group)
            table.add_row(
                name,
                f"{len(ended)} of {len(group)}",
                lower_bound(group) + spread([run.total_seconds for run in group], 2),
                f"{limit:.2f}",
                f"{lower_bound(group)}{median(run.total_seconds for run in group) / limit:.2f}",
                _ratio(group, groups.get("skip", [])),
                _ratio(group, groups.get(name.removeprefix("skip+"), [])) if name.startswith("skip+") else "",
                spread([run.downtime_ms for run in ended if run.downtime_ms is not None], 0),
                spread([run.sent_bytes / 1e6 for run in group], 0),
                spread([run.rounds for run in group], 0),
            )
        yield table
    yield _fairness_table(runs, mixes, treatments, bytes_per_second)


def _fairness_table(
    runs: Sequence[ConvergenceRun], mixes: Sequence[Mix], treatments: Mapping[str, Treatment], bytes_per_second: float
) -> Table:
    table = titled_table(
        f"fair on two cores: ratio {LEAST_RATIO:g} or more, the link at most {MOST_OF_CODEC:g} of the compressed bytes "
        f"that a thread makes, and {LEAST_ROUNDS} rounds or more without skip",
        ("mix", "codec", "ratio", "MB/s a thread", "link of that", "rounds at least", "fair"),
        left=("mix", "codec"),
    )
    for mix in mixes:
        for codec in dict.fromkeys(each.codec for each in treatments.values() if each.codec):
            check = check_fairness([run for run in runs if run.job.mix == mix.name], codec, bytes_per_second)
            if check:
                table.add_row(
                    mix.name,
                    codec,
                    f"{check.ratio:.2f}",
                    f"{check.codec_bytes_per_second / 1e6:.0f}",
                    f"{check.share_of_codec:.2f}",
                    str(check.rounds),
                    "yes" if check.holds else "no",
                )
    return table


def _ratio(group: Sequence[ConvergenceRun], other: Sequence[ConvergenceRun]) -> str:
    """The time of one group divided by that of another; a bound if one of them did not end, ``-`` if both did not."""
    if not other or group is other:
        return ""
    bounds = bool(lower_bound(group)), bool(lower_bound(other))
    if all(bounds):
        return "-"
    sign = "> " if bounds[0] else "< " if bounds[1] else ""
    return f"{sign}{median(run.total_seconds for run in group) / median(run.total_seconds for run in other):.2f}"
