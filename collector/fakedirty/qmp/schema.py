"""What a QEMU has by its own schema, ``query-qmp-schema``: commands, and the values that a parameter takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .monitor import Monitor
from .validation import understanding


class Schema:
    """The entries of a schema."""

    def __init__(self, entries: Iterable[Mapping[str, Any]]) -> None:
        self._entries = {str(entry["name"]): entry for entry in entries}

    @classmethod
    def of(cls, qmp: Monitor) -> Schema:
        """That of the QEMU at a monitor. QmpError where it answers something else."""
        with understanding(qmp.path):
            return cls(qmp.execute("query-qmp-schema"))

    def has_command(self, name: str) -> bool:
        """Whether there is such a command."""
        return self._entries.get(name, {}).get("meta-type") == "command"

    def has_parameter(self, command: str, name: str) -> bool:
        """Whether a command takes a parameter."""
        return self._parameter_type(command, name) is not None

    def values(self, command: str, name: str) -> tuple[str, ...] | None:
        """What a parameter that is an enumeration takes, in QEMU's order; None where it is none, or is not there."""
        kind = self._entries.get(self._parameter_type(command, name) or "", {})
        if kind.get("meta-type") != "enum":
            return None
        # before QEMU 6.2 members had no features, and so no objects of their own
        members = kind.get("members", kind.get("values", ()))
        return tuple(str(member["name"] if isinstance(member, Mapping) else member) for member in members)

    def _parameter_type(self, command: str, name: str) -> str | None:
        arguments = str(self._entries.get(command, {}).get("arg-type", ""))
        members = self._entries.get(arguments, {}).get("members", ())
        return next((str(member.get("type", "")) for member in members if member["name"] == name), None)
