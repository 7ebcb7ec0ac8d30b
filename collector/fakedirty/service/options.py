"""What one command observes with, and where its output goes: the file of the service under the command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fakedirty.errors import UsageError
from fakedirty.record.output_checks import check_directory, check_file
from fakedirty.record.retention import Limits

from .config import Configuration, read

#: without a file nothing is served or answered, unless the command line says so
WITHOUT_FILE = Configuration().with_values({("metrics", "listen"): "", ("control", "socket"): ""})


@dataclass(frozen=True, slots=True)
class ConfigurationSource:
    """Where values come from: `given` has those of the command line, by table and name; they win over the `file`."""

    file: Path | None = None
    given: Mapping[tuple[str, str], object] = field(default_factory=dict)

    def read(self) -> Configuration:
        """The configuration in force, read anew; UsageError if the file is refused."""
        return (WITHOUT_FILE if self.file is None else read(self.file)).with_values(self.given)

    def name(self, table: str, option: str, spelled: str) -> str:
        """An option as the user gave it: `spelled` on the command line, else by its key in the file."""
        return spelled if (table, option) in self.given or self.file is None else f"{table}.{option}"


@dataclass(frozen=True, slots=True)
class Options:
    """All that an observation needs beside its QEMU.

    Attributes:
        source: Where `configuration` comes from; a service reads it again on SIGHUP.
        configuration: The values in force.
        run_id: Groups the recordings of one command.
        json: JSON lines on standard output instead of the table.
        monitor: A QMP socket to use, of one QEMU.
        trace_file: A file to record the trace of one QEMU in.
        once: End when a migration of one QEMU has ended.
    """

    source: ConfigurationSource
    configuration: Configuration
    run_id: str
    json: bool = False
    monitor: Path | None = None
    trace_file: Path | None = None
    once: bool = False

    @property
    def out(self) -> Path | None:
        """The directory to record migrations in."""
        return path_of(self.configuration.record.directory)

    @property
    def control(self) -> Path | None:
        """The control socket."""
        return path_of(self.configuration.control.socket)

    def check_places(self) -> None:
        """UsageError where a place to write to cannot be written; nothing is left there."""
        if self.trace_file is not None:
            check_file(self.trace_file, "--record", replaced=False)
        if self.out is not None:
            name = self.source.name("record", "directory", "--out")
            # where old recordings are removed, there will be room
            check_directory(self.out, name, may_be_full=limits_of(self.configuration) != Limits())
        if self.control is not None:
            name = self.source.name("control", "socket", "--control")
            check_directory(self.control.parent, name)
            if reverts_path(self.control).is_dir():
                raise UsageError(f"{reverts_path(self.control)} is a directory: {name} keeps a file there")


def path_of(text: str) -> Path | None:
    """The path of an option; None if it is empty."""
    return Path(text) if text else None


def limits_of(configuration: Configuration) -> Limits:
    """How long recordings are kept."""
    record = configuration.record
    return Limits(record.keep_days * 86400, int(record.keep_gib * (1 << 30)))


def reverts_path(control: Path) -> Path:
    """The file of pending reverts: beside the control socket, which only one service has."""
    return control.with_name(f"{control.name}.promises")
