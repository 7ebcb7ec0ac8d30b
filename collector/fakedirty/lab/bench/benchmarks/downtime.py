"""The benchmark of the downtime: its parts, and when a client heard of the guest again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext

from rich.table import Table

from fakedirty.format.downtime_words import KINDS
from fakedirty.lab.bench.convergence import DOWNTIME_LIMIT_MS
from fakedirty.lab.bench.downtime import ARMS, MIX, DowntimeJob, DowntimeRun, downtime_jobs, measure_downtime
from fakedirty.lab.client.sightings import ANNOUNCEMENTS, FAMILIES
from fakedirty.lab.client.watching import INTERVAL_MS
from fakedirty.lab.guests.recipes import build_guest
from fakedirty.lab.network import GIGABIT
from fakedirty.lab.qemu import qemu_facts

from .benchmark import Benchmark, BenchmarkOptions
from .statistics import spread
from .titled_table import titled_table

Value = Callable[[DowntimeRun], float | None]


def downtime_benchmark(options: BenchmarkOptions) -> Benchmark:
    """The benchmark of where the downtime goes."""
    guest, qemu = build_guest("linux"), options.qemu_path()
    link_bits = options.link_bits(GIGABIT)

    def measure(job: DowntimeJob) -> DowntimeRun:
        return measure_downtime(job, qemu, guest, time_limit=options.time_limit, link_bits=link_bits)

    return Benchmark(
        settings={
            "benchmark": "downtime",
            "qemu": qemu_facts(qemu),
            "guest": guest.directory.name,
            "mix": MIX.name,
            "seed": options.seed,
            "time_limit_seconds": options.time_limit,
            "downtime_limit_ms": DOWNTIME_LIMIT_MS,
            "link_bits_per_second": link_bits,
            "client_interval_ms": INTERVAL_MS,
        },
        jobs=list(downtime_jobs(options.repetitions, options.seed)),
        measuring=lambda: nullcontext(measure),
        run_type=DowntimeRun,
        job_type=DowntimeJob,
        line=downtime_line,
        tables=downtime_tables,
        most_seconds=options.time_limit + 20.0,
        is_wrong=lambda run: not run.memory_right,
    )


def downtime_line(run: DowntimeRun) -> str:
    """One migration on one line."""
    client = ", ".join(f"{family} {ms:.0f} ms" for family, ms in run.outages.items())
    first = f"QEMU {run.downtime_ms} ms, from outside {run.blackout_ms:.1f} ms, client {client or 'not known'}"
    return f"{run.job.arm}: {first}; memory {'right' if run.memory_right else 'NOT RIGHT'}"


def _of_part(kind: str) -> Value:
    return lambda run: run.parts.get(kind, 0.0)


def _member(field: str, key: str) -> Value:
    return lambda run: getattr(run, field).get(key)


_SIGHTS: Mapping[str, Value] = {
    "as QEMU reports it": lambda run: run.downtime_ms,
    "from outside": lambda run: run.blackout_ms,
    **{f"at the client, {family}": _member("outages", family) for family in FAMILIES},
    **{f"requests lost, {family}": _member("unanswered", family) for family in FAMILIES},
}
_NETWORK: Mapping[str, Value] = {
    **{str(kind): _member("announced", str(kind)) for kind in ANNOUNCEMENTS},
    **{f"reply, {family}": _member("replies", family) for family in FAMILIES},
}


def downtime_tables(runs: Sequence[DowntimeRun]) -> Iterator[Table]:
    """The downtime as each side sees it, its parts, and what the network adds."""
    by_arm = {arm.name: [run for run in runs if run.job.arm == arm.name] for arm in ARMS}
    yield _arms_in_columns(f"{MIX.name}: downtime in ms, median (range)", by_arm, _SIGHTS)
    kinds = [str(kind) for kind in KINDS if any(str(kind) in run.parts for run in runs)]
    parts = {kind: _of_part(kind) for kind in kinds}
    yield _arms_in_columns(
        "its parts in ms, counted once", by_arm, {**parts, "unexplained": lambda run: run.unexplained_ms}
    )
    yield _arms_in_columns("ms from the run at the destination to the first", by_arm, _NETWORK)


def _arms_in_columns(title: str, by_arm: Mapping[str, Sequence[DowntimeRun]], rows: Mapping[str, Value]) -> Table:
    table = titled_table(title, ("", *by_arm), left=("",))
    for name, value in rows.items():
        found = [[each for run in runs if (each := value(run)) is not None] for runs in by_arm.values()]
        table.add_row(name, *(spread(values, 1) for values in found))
    return table
