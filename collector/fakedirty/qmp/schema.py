"""Looks up commands and the values of parameters in QEMU's own schema, ``query-qmp-schema``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .monitor import Monitor
from .validation import parsing_answers


class Schema:
    """A schema, by the names of its entries."""

    def __init__(self, entries: Iterable[Mapping[str, Any]]) -> None:
        self._entries = {str(entry["name"]): entry for entry in entries}

    @classmethod
    def of(cls, qmp: Monitor) -> Schema:
        """Read the schema of the QEMU at a monitor; QmpError where the answer is something else."""
        with parsing_answers(qmp.path):
            return cls(qmp.execute("query-qmp-schema"))

    def has_command(self, name: str) -> bool:
        """Whether QEMU has a command."""
        return self._entries.get(name, {}).get("meta-type") == "command"

    def has_parameter(self, command: str, name: str) -> bool:
        """Whether a command takes a parameter."""
        return self._parameter_type(command, name) is not None

    def values(self, command: str, name: str) -> tuple[str, ...] | None:
        """The values of a parameter that is an enumeration, in QEMU's order; None if it is none, or does not exist."""
        kind = self._entries.get(self._parameter_type(command, name) or "", {})
        if kind.get("meta-type") != "enum":
            return None
        # before QEMU 6.2 members were plain strings
        members = kind.get("members", kind.get("values", ()))
        return tuple(str(member["name"] if isinstance(member, Mapping) else member) for member in members)

    def _parameter_type(self, command: str, name: str) -> str | None:
        arguments = str(self._entries.get(command, {}).get("arg-type", ""))
        members = self._entries.get(arguments, {}).get("members", ())
        return next((str(member.get("type", "")) for member in members if member["name"] == name), None)
