"""The history of rounds of a QEMU with the series: by which command it is there, which is found out and not assumed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fakedirty.errors import QmpError

from .monitor import Monitor
from .validation import understanding

#: of today, and of the series before it
COMMANDS = ("query-migration-rounds", "query-fake-dirty-rounds")


def history_command(qmp: Monitor) -> str | None:
    """The command that this QEMU has for it, None where it has none; QmpError where it has not even migrations."""
    with understanding(qmp.path):
        commands = {command["name"] for command in qmp.execute("query-commands")}
    if "query-migrate" not in commands:
        raise QmpError(f"{qmp.path} has no command query-migrate: it is no QEMU's")
    return next((name for name in COMMANDS if name in commands), None)


def read_history(qmp: Monitor) -> Mapping[str, Any]:
    """The rounds of the last migration. QmpError where this QEMU keeps none."""
    command = history_command(qmp)
    if command is None:
        raise QmpError(f"the QEMU at {qmp.path} keeps no history of rounds: it was built without the series")
    history: Mapping[str, Any] = qmp.execute(command)
    return history


def with_postcopy(info: Mapping[str, Any], history: Mapping[str, Any]) -> Mapping[str, Any]:
    """What query-migrate said, and beside it where postcopy began and what was left to it, if the history says that."""
    return {**info, "postcopy": history["postcopy"]} if "postcopy" in history else info


def in_answers(answers: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The history among answers by command; None where it was not asked for."""
    history: Mapping[str, Any] | None = next((answers[name] for name in COMMANDS if name in answers), None)
    return history
