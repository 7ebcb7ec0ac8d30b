"""``manifest.json``: identity and time of a migration, and the program and host that recorded it."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from fakedirty import __version__
from fakedirty.linux.wall_clock import ClockError
from fakedirty.model.migration import Migration

SCHEMA_VERSION = 1  # of the files of a recording: grows when a column changes its meaning or goes


@dataclass(frozen=True, slots=True)
class Clock:
    """Both clocks of the host at one moment, in nanoseconds, to date times of the monotonic clock.

    Attributes:
        wall_ns: Unix time.
        monotonic_ns: CLOCK_MONOTONIC.
        error: of the wall clock; None where it is not known.
        boot_id: of the host; None where it is not known.
    """

    wall_ns: int
    monotonic_ns: int
    error: ClockError | None = None
    boot_id: str | None = None

    def date(self, monotonic_ns: int) -> datetime:
        """The date of a CLOCK_MONOTONIC time, in UTC."""
        return datetime.fromtimestamp((self.wall_ns - self.monotonic_ns + monotonic_ns) / 1e9, UTC)


@dataclass(frozen=True, slots=True)
class Manifest:
    """The parts of a manifest that all migrations of a run share.

    Attributes:
        run_id: the run.
        command_line: of the collector.
        facts: further members, about QEMU and the experiment.
        cpuinfo: /proc/cpuinfo.
    """

    run_id: str
    command_line: Sequence[str] = ()
    facts: Mapping[str, object] = field(default_factory=dict)
    cpuinfo: Path = Path("/proc/cpuinfo")

    def of(self, migration: Migration, clock: Clock) -> dict[str, object]:
        """The content of the manifest of one migration."""
        return {
            "schema_version": SCHEMA_VERSION,
            "run_id": self.run_id,
            "migration_id": migration.migration_id,
            "vm": migration.vm,
            "level": str(migration.level),
            "side": side(migration),
            "process": migration.process,
            "uuid": migration.uuid,
            "started_at": clock.date(migration.start_ns).isoformat(),
            "clock": {
                "name": "CLOCK_MONOTONIC",
                "start_ns": migration.start_ns,
                "wall_minus_monotonic_ns": clock.wall_ns - clock.monotonic_ns,
                "error": None if clock.error is None else asdict(clock.error),
                "boot_id": clock.boot_id,
            },
            "command_line": list(self.command_line),
            "versions": versions(self.cpuinfo),
            **self.facts,
        }


def side(migration: Migration) -> str:
    """``source`` or ``destination``: the end of the migration that the observed QEMU is."""
    return "destination" if migration.incoming else "source"


def versions(cpuinfo: Path = Path("/proc/cpuinfo")) -> dict[str, str | None]:
    """Versions of the program, Python and kernel, and the machine; `cpu` is None where /proc does not name it."""
    return {
        "fakedirty": __version__,
        "python": platform.python_version(),
        "kernel": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "cpu": _cpu_model(cpuinfo),
    }


def _cpu_model(cpuinfo: Path) -> str | None:
    try:
        lines = cpuinfo.read_text(errors="replace").splitlines()
    except OSError:
        return None
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), None)
