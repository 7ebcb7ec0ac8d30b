"""Reads the history of rounds of a QEMU with the patch series, by the command that this QEMU has for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fakedirty.errors import QmpError

from .monitor import Monitor
from .validation import parsing_answers

#: today's command, and that of earlier versions of the patch series
COMMANDS = ("query-migration-rounds", "query-fake-dirty-rounds")


def history_command(qmp: Monitor) -> str | None:
    """The command that this QEMU has for the history; None if it has none.

    Raises:
        QmpError: the peer cannot migrate at all, so it is not a QEMU.
    """
    with parsing_answers(qmp.path):
        commands = {command["name"] for command in qmp.execute("query-commands")}
    if "query-migrate" not in commands:
        raise QmpError(f"{qmp.path} has no command query-migrate: it does not belong to a QEMU")
    return next((name for name in COMMANDS if name in commands), None)


def read_history(qmp: Monitor) -> Mapping[str, Any]:
    """The rounds of the last migration; QmpError where this QEMU keeps no history."""
    command = history_command(qmp)
    if command is None:
        raise QmpError(f"the QEMU at {qmp.path} keeps no history of rounds: it was built without the patch series")
    history: Mapping[str, Any] = qmp.execute(command)
    return history


def with_postcopy(info: Mapping[str, Any], history: Mapping[str, Any]) -> Mapping[str, Any]:
    """An answer of query-migrate with the member ``postcopy`` of the history of rounds, if that has one."""
    return {**info, "postcopy": history["postcopy"]} if "postcopy" in history else info


def in_answers(answers: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The history of rounds among answers by command; None where it is not among them."""
    history: Mapping[str, Any] | None = next((answers[name] for name in COMMANDS if name in answers), None)
    return history
