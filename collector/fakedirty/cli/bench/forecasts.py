"""What was predicted beside what came of it: every migration, a confusion matrix, and the errors of the times."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from statistics import median

from rich.table import Table

from fakedirty.lab.bench.forecasts import PLANS, CheckedForecast


def verdict_line(made: CheckedForecast) -> str:
    """One run on one line."""
    job = made.job
    return (
        f"{job.mix} at {job.mbit} Mbit/s, {job.plan}: predicted {_predicted(made)}, came to {_time(made.total_seconds)}"
    )


def verdict_tables(runs: Sequence[CheckedForecast]) -> Iterator[Table]:
    """All of them, then by plan how often it was right, and by how much the total time was off."""
    table = Table(title="predicted after round 2, and what came of it", title_justify="left", title_style="bold")
    for head in ("mix", "Mbit/s", "plan", "predicted s", "real s", "off by", "downtime ms", "real ms"):
        table.add_column(head, justify="left" if head in ("mix", "plan") else "right")
    for made in sorted(runs, key=lambda made: (made.job.mix, -made.job.mbit, made.job.plan, made.job.repetition)):
        job, off = made.job, error(made)
        table.add_row(
            *(job.mix, str(job.mbit), job.plan, _predicted(made), _time(made.total_seconds)),
            "" if off is None else f"{off:+.1%}",
            *(
                ("-" if each is None else f"{each * 1e3:.0f}")
                for each in (made.downtime_expected, made.downtime_seconds)
            ),
        )
    yield table
    yield from (_confusion(plan, [made for made in runs if made.job.plan == plan and made.judged]) for plan in PLANS)
    errors = {
        plan: [off for made in runs if made.job.plan == plan and (off := error(made)) is not None] for plan in PLANS
    }
    table = Table(title="error of the total time", title_justify="left", title_style="bold")
    for head in ("plan", "migrations", "median", "from", "to", "median without sign"):
        table.add_column(head, justify="left" if head == "plan" else "right")
    for plan, offs in errors.items():
        if offs:
            figures = (median(offs), min(offs), max(offs))
            without = f"{median(map(abs, offs)):.1%}"
            table.add_row(plan, str(len(offs)), *(f"{figure:+.1%}" for figure in figures), without)
    yield table


def error(made: CheckedForecast) -> float | None:
    """By what share of the real total time the predicted one was off; None unless there are both."""
    if made.total_expected is None or made.total_seconds is None:
        return None
    return made.total_expected / made.total_seconds - 1


def _confusion(plan: str, runs: Sequence[CheckedForecast]) -> Table:
    counts = Counter((made.predicted, made.certain, made.converged) for made in runs)
    table = Table(title=f"plan {plan}: does it converge?", title_justify="left", title_style="bold")
    for head in ("predicted", "it did", "it did not"):
        table.add_column(head, justify="left" if head == "predicted" else "right")
    for predicted in (True, False):
        for certain in (True, False):
            words = ("" if certain else "probably ") + ("yes" if predicted else "no")
            table.add_row(words, *(str(counts[predicted, certain, converged]) for converged in (True, False)))
    return table


def _predicted(made: CheckedForecast) -> str:
    if not made.judged:
        return "nothing"
    if made.total_expected is None:
        return "no end" if made.certain else "probably no end"
    high = "?" if made.total_high is None else f"{made.total_high:.2f}"
    return f"{made.total_expected:.2f} ({made.total_low:.2f} to {high})"


def _time(seconds: float | None) -> str:
    return "no end" if seconds is None else f"{seconds:.2f}"
