"""The benchmark of ``what-if``: every predicted migration and the real one, and the errors of the total time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from statistics import median

from rich.table import Table

from fakedirty.errors import UsageError
from fakedirty.lab.bench.forecasts import MIXES
from fakedirty.lab.bench.what_if import PREDICTED, RECORDED, WhatIfJob, WhatIfRun, measure_what_if, what_if_jobs
from fakedirty.lab.guests.recipes import build_guest
from fakedirty.lab.qemu import qemu_facts

from .benchmark import Benchmark, BenchmarkOptions
from .titled_table import titled_table


@dataclass(frozen=True, slots=True)
class Judged:
    """A real migration, and the total time that was predicted for it: low, expected, and high; None for no end."""

    run: WhatIfRun
    predicted: list[float | None] | None

    @property
    def error(self) -> float | None:
        """The error of the expected total time, as a share of the real one; None unless there are both."""
        expected, real = None if self.predicted is None else self.predicted[1], self.run.total_seconds
        return None if expected is None or real is None else expected / real - 1

    @property
    def within(self) -> bool:
        """Whether the real total time lies in the predicted range."""
        if self.predicted is None or self.run.total_seconds is None:
            return False
        low, _, high = self.predicted
        return (low or 0.0) <= self.run.total_seconds and (high is None or self.run.total_seconds <= high)


def what_if_benchmark(options: BenchmarkOptions) -> Benchmark:
    """The benchmark of predictions from page records."""
    guest, qemu = build_guest("linux"), options.qemu_path()
    mixes = [mix for mix in MIXES if not options.mixes or mix.name in options.mixes]
    if not mixes:
        raise UsageError(f"{', '.join(options.mixes)} is of another benchmark: what-if has those of verdict")

    def measure(job: WhatIfJob) -> WhatIfRun:
        return measure_what_if(job, qemu, guest, time_limit=options.time_limit)

    return Benchmark(
        settings={
            "benchmark": "what-if",
            "qemu": qemu_facts(qemu),
            "guest": guest.directory.name,
            "seed": options.seed,
            "time_limit_seconds": options.time_limit,
        },
        jobs=list(what_if_jobs(options.repetitions, options.seed, mixes)),
        measuring=lambda: nullcontext(measure),
        run_type=WhatIfRun,
        job_type=WhatIfJob,
        line=what_if_line,
        tables=what_if_tables,
        most_seconds=options.time_limit + 15.0,
        is_wrong=lambda run: not run.memory_equal,
    )


def what_if_line(run: WhatIfRun) -> str:
    """One migration on one line."""
    return f"{run.job.mix}, {run.job.arm}: {_time(run.total_seconds)}"


def judged(runs: Sequence[WhatIfRun]) -> list[Judged]:
    """Each real migration with the prediction from the recorded one of its repetition and mix."""
    recorded = {(run.job.repetition, run.job.mix): run for run in runs if run.job.arm == RECORDED.name}
    return [
        Judged(run, recorded[place].predicted.get(run.job.arm))
        for run in sorted(runs, key=lambda run: (run.job.mix, run.job.arm, run.job.repetition))
        if run.job.arm != RECORDED.name and (place := (run.job.repetition, run.job.mix)) in recorded
    ]


def what_if_tables(runs: Sequence[WhatIfRun]) -> Iterator[Table]:
    """All migrations, how often an end was predicted rightly, and the errors of the total time by arm and in all."""
    found = judged(runs)
    heads = ("mix", "settings", "predicted s", "real s", "off by")
    table = titled_table("predicted from the page records of another migration", heads, left=("mix", "settings"))
    for each in found:
        error = "" if each.error is None else f"{each.error:+.1%}"
        job = each.run.job
        table.add_row(job.mix, job.arm, _predicted(each.predicted), _time(each.run.total_seconds), error)
    yield table
    counts = Counter((each.predicted is not None, each.run.converged) for each in found)
    table = titled_table("does it converge?", ("predicted", "it did", "it did not"), left=("predicted",))
    for ends in (True, False):
        table.add_row("yes" if ends else "no", str(counts[ends, True]), str(counts[ends, False]))
    yield table
    yield _errors(found)


def _errors(found: Sequence[Judged]) -> Table:
    heads = ("settings", "migrations", "median", "from", "to", "median without sign", "in the range")
    table = titled_table("error of the total time", heads, left=("settings",))
    groups = [(arm.name, [each for each in found if each.run.job.arm == arm.name]) for arm in PREDICTED]
    for name, group in [*groups, ("all", list(found))]:
        both = [each for each in group if each.error is not None]
        if errors := [each.error for each in both if each.error is not None]:
            parts = (f"{value:+.1%}" for value in (median(errors), min(errors), max(errors)))
            within = f"{sum(each.within for each in both)} of {len(both)}"
            table.add_row(name, str(len(errors)), *parts, f"{median(map(abs, errors)):.1%}", within)
    return table


def _predicted(times: list[float | None] | None) -> str:
    if times is None:
        return "no end"
    low, expected, high = ("?" if each is None else f"{each:.2f}" for each in times)
    return f"{expected} ({low} to {high})"


def _time(seconds: float | None) -> str:
    return "no end" if seconds is None else f"{seconds:.2f}"
