"""The benchmark of forecasts: every migration, how often forecasts and recommendations were right, and by how much."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from statistics import median

from rich.table import Table

from fakedirty.lab.bench.convergence import DOWNTIME_LIMIT_MS
from fakedirty.lab.bench.forecasts import (
    FROZEN_AFTER,
    MIXES,
    PLANS,
    RECOMMENDED_AFTER,
    CheckedForecast,
    ForecastJob,
    forecast_jobs,
    measure_forecast,
)
from fakedirty.lab.bench.recommendation_checks import BY, longest_time
from fakedirty.lab.bench.time_left import TimeLeft
from fakedirty.lab.guests.recipes import build_guest
from fakedirty.lab.qemu import qemu_facts

from .benchmark import Benchmark, BenchmarkOptions
from .convergence import choose
from .recommendation_tables import by, recommendation_tables, value_words
from .time_left import time_left_tables
from .titled_table import titled_table


def forecast_benchmark(options: BenchmarkOptions) -> Benchmark:
    """The benchmark of forecasts against the ends of migrations."""
    mixes = list(choose(options, MIXES, ()).mixes.values())
    guest, qemu = build_guest("linux"), options.qemu_path()

    jobs = list(forecast_jobs(options.repetitions, options.seed, mixes))

    def measure(job_and_base: tuple[ForecastJob, CheckedForecast | None]) -> CheckedForecast:
        return measure_forecast(*job_and_base, qemu, guest, time_limit=options.time_limit)

    return Benchmark(
        settings={
            "benchmark": "verdict",
            "qemu": qemu_facts(qemu),
            "guest": guest.directory.name,
            "seed": options.seed,
            "time_limit_seconds": options.time_limit,
            "downtime_limit_ms": DOWNTIME_LIMIT_MS,
            "frozen_after_round": FROZEN_AFTER,
            "recommended_after_round": RECOMMENDED_AFTER,
            "recommendations_checked_by": BY,
        },
        jobs=jobs,
        measuring=lambda: nullcontext(measure),
        run_type=CheckedForecast,
        job_type=ForecastJob,
        line=forecast_line,
        tables=forecast_tables,
        most_seconds=sum(longest_time(job.change, options.time_limit) for job in jobs) / len(jobs) + 15.0,
        is_wrong=lambda run: run.memory_equal is False,
        informed=with_base,
    )


def with_base(
    job: ForecastJob, runs: Mapping[ForecastJob, CheckedForecast]
) -> tuple[ForecastJob, CheckedForecast | None]:
    """A job and, if it is a check, the run of its base."""
    return job, runs.get(job.base) if job.change else None


def forecast_line(run: CheckedForecast) -> str:
    """One migration on one line."""
    job, end = run.job, _time(run.total_seconds)
    if job.change:
        end = "nothing was run" if run.memory_equal is None else f"real: {end}"
        return f"{job.mix}, {job.plan}: {job.change} {value_words(run)} ({by(job.factor)}); {end}"
    return f"{job.mix} at {job.mbit} Mbit/s, {job.plan}: predicted {_predicted(run)}; real: {end}"


def forecast_tables(runs: Sequence[CheckedForecast]) -> Iterator[Table]:
    """All bases, then for each plan how often the forecast was right, the errors of the total time, and all checks."""
    bases = [run for run in runs if not run.job.change]
    heads = ("mix", "Mbit/s", "plan", "predicted s", "real s", "off by", "downtime ms", "real ms")
    table = titled_table("forecast after round 2, and the real end", heads, left=("mix", "plan"))
    for run in sorted(bases, key=lambda run: (run.job.mix, -run.job.mbit, run.job.plan, run.job.repetition)):
        job, error = run.job, time_error(run)
        table.add_row(
            *(job.mix, str(job.mbit), job.plan, _predicted(run), _time(run.total_seconds)),
            "" if error is None else f"{error:+.1%}",
            *("-" if each is None else f"{each * 1e3:.0f}" for each in (run.downtime_expected, run.downtime_seconds)),
        )
    yield table
    yield from (_confusion_matrix(plan, [r for r in bases if r.job.plan == plan and r.judged]) for plan in PLANS)
    yield _error_table(bases)
    yield from time_left_tables(
        [
            (f"{run.job.mix} at {run.job.mbit} Mbit/s, {run.job.plan}", [TimeLeft(**row) for row in run.times_left])
            for run in bases
            if run.times_left
        ]
    )
    yield from recommendation_tables([run for run in runs if run.job.change])


def time_error(run: CheckedForecast) -> float | None:
    """The error of the predicted total time, as a share of the real one; None unless there are both."""
    if run.total_expected is None or run.total_seconds is None:
        return None
    return run.total_expected / run.total_seconds - 1


def _confusion_matrix(plan: str, runs: Sequence[CheckedForecast]) -> Table:
    counts = Counter((run.predicted, run.certain, run.converged) for run in runs)
    title = f"plan {plan}: does it converge?"
    table = titled_table(title, ("predicted", "it did", "it did not"), left=("predicted",))
    for predicted in (True, False):
        for certain in (True, False):
            words = ("" if certain else "probably ") + ("yes" if predicted else "no")
            table.add_row(words, *(str(counts[predicted, certain, converged]) for converged in (True, False)))
    return table


def _error_table(runs: Sequence[CheckedForecast]) -> Table:
    heads = ("plan", "migrations", "median", "from", "to", "median without sign")
    table = titled_table("error of the total time", heads, left=("plan",))
    for plan in PLANS:
        errors = [error for run in runs if run.job.plan == plan and (error := time_error(run)) is not None]
        if errors:
            without_sign = f"{median(map(abs, errors)):.1%}"
            middle_and_range = (median(errors), min(errors), max(errors))
            table.add_row(plan, str(len(errors)), *(f"{value:+.1%}" for value in middle_and_range), without_sign)
    return table


def _predicted(run: CheckedForecast) -> str:
    if not run.judged:
        return "nothing"
    if run.total_expected is None:
        return "no end" if run.certain else "probably no end"
    high = "?" if run.total_high is None else f"{run.total_high:.2f}"
    return f"{run.total_expected:.2f} ({run.total_low:.2f} to {high})"


def _time(seconds: float | None) -> str:
    return "no end" if seconds is None else f"{seconds:.2f}"
