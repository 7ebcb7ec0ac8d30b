"""The progress of a campaign: a bar on a terminal, a line for each run everywhere, and the time that is left."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar

from fakedirty.campaign.duration_estimate import expected_seconds
from fakedirty.campaign.plan import PlannedRun
from fakedirty.campaign.run_row import COMPLETED, FAILED
from fakedirty.campaign.spec import CampaignFile
from fakedirty.campaign.store import Store
from fakedirty.campaign.supported import UnsupportedTreatment
from fakedirty.format.numbers import milliseconds, size
from fakedirty.show.terminal import Terminal

REFRESHES = 1  # per second: the display must not take CPU time from the measurement


class Progress:
    """The progress, shown while the block runs. `starting` and `done` are to be called for each run."""

    def __init__(self, store: Store, file: CampaignFile, console: Terminal) -> None:
        self._runs = store.runs
        self._file = file
        self._console = console
        self._taken = {str(row["run"]): float(str(row["wall_seconds"])) for row in store.rows}
        columns = (
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            BarColumn(),
            TextColumn("{task.description}", markup=False),
        )
        self._bar = Bar(
            *columns, console=console, disable=not console.is_terminal, transient=True, refresh_per_second=REFRESHES
        )
        self._task = self._bar.add_task("", total=len(self._runs), completed=len(self._taken))

    def __enter__(self) -> Self:
        self._console.print(f"{len(self._runs)} runs, {len(self._taken)} made already, about {self._left()} left")
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def starting(self, planned: PlannedRun) -> None:
        """Show the run that begins, on a terminal."""
        now = f"{planned.run} {planned.workload}, {planned.treatment}"
        self._bar.update(self._task, description=f"{now}; about {self._left()} left")

    def done(self, row: Mapping[str, object]) -> None:
        """Print a line about the run that is whole."""
        self._taken[str(row["run"])] = float(str(row["wall_seconds"]))
        bad = row["outcome"] == FAILED or row["memory_equal"] is False
        self._console.print(f"{run_line(row)}; about {self._left()} left", style="bold red" if bad else "")
        self._bar.update(self._task, completed=len(self._taken))

    def _left(self) -> str:
        return duration(sum(expected_seconds(self._runs, self._file, self._taken).values()))


def run_line(row: Mapping[str, object]) -> str:
    """A line about a run, with its outcome if it has one."""
    line = (
        f"{row['run']} block {row['block']}: {row['workload']}, {row['memory_mib']} MiB, {row['treatment']}, "
        f"{row['mbit']} Mbit/s, {row['vcpus']} vCPU"
    )
    return f"{line}: {', '.join(_outcome(row))}" if "outcome" in row else line


def _outcome(row: Mapping[str, object]) -> Iterator[str]:
    yield str(row["outcome"])
    if row["outcome"] == COMPLETED:
        yield f"{milliseconds(_number(row['total_time_ms']))}, downtime {milliseconds(_number(row['downtime_ms']))}"
    else:
        yield str(row["reason"])
    if row["link_bytes"] is not None:
        yield size(_number(row["link_bytes"]))
    if row["memory_equal"] is not None:
        yield "memory equal" if row["memory_equal"] else "MEMORY DIFFERS"


def _number(value: object) -> int:
    return int(str(value))


def left_out_lines(left_out: Sequence[UnsupportedTreatment]) -> list[str]:
    """A line for each treatment that was left out, with QEMU's reason."""
    return [f"left out: {each.treatment}: {each.reason}" for each in left_out]


def duration(seconds: float) -> str:
    """Seconds in the unit that reads best: ``45 s``, ``12 min``, ``3 h 5 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
