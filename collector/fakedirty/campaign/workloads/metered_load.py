"""The load of a guest whose throughput is read while it migrates."""

from __future__ import annotations

from typing import Protocol

from fakedirty.lab.guest_load import GuestLoad

from .throughput import Meter


class MeteredLoad(GuestLoad, Protocol):
    """A load that writes what it gets done into a file."""

    service_file: str  #: name of that file, in the directory that `arguments` was given

    def meter(self) -> Meter:
        """A new reader of the lines of this file, for one side."""

    def facts(self) -> dict[str, object]:
        """What identifies the load, for ``experiment.json``."""
