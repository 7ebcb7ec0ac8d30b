"""Checks of a source whose destination was killed in postcopy, with a QEMU that is a table of answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import pytest
from fakedirty.lab.fuzz.stranded import check_failed_recovery, check_mode_refused, check_paused
from fakedirty.qmp.client import Qmp, QmpRefusedError

PAUSED = {"query-migrate": {"status": "postcopy-paused"}, "query-status": {"status": "finish-migrate"}}
DECIDED = "fake-dirty-mode cannot be changed any more: the switchover of the migration has been decided"


class Stranded:
    """A QEMU with these answers. It refuses to set a mode if there is a reason."""

    def __init__(self, answers: Mapping[str, Any], refuses: str = "") -> None:
        self._answers, self._refuses = answers, refuses

    def execute(self, command: str, *_arguments: object, **_more: object) -> Any:
        if command == "migrate-set-parameters" and self._refuses:
            raise QmpRefusedError(command, "GenericError", self._refuses)
        return self._answers.get(command, {})


def source(answers: Mapping[str, Any] = PAUSED, refuses: str = "") -> Qmp:
    return cast(Qmp, Stranded(answers, refuses))


def test_a_guest_that_is_stopped() -> None:
    assert check_paused(source()) == []


@pytest.mark.parametrize(
    "other", [{"query-status": {"status": "running"}}, {"query-migrate": {"status": "failed"}}], ids=str
)
def test_a_guest_that_runs_again_or_a_migration_that_is_over(other: Mapping[str, Any]) -> None:
    [error] = check_paused(source({**PAUSED, **other}))
    assert "and was left paused" in error


def test_a_mode_that_is_refused_set_or_refused_for_another_reason() -> None:
    assert check_mode_refused(source(refuses=DECIDED)) == []
    assert check_mode_refused(source()) == ["a mode was set in postcopy-paused"]
    [error] = check_mode_refused(source(refuses="there is no memory"))
    assert "there is no memory" in error


@pytest.mark.parametrize(
    ("why", "right"),
    [({"error-desc": "Failed to connect: Connection refused"}, True), ({"error-desc": "x"}, False), ({}, False)],
)
def test_a_recovery_that_finds_nobody(why: Mapping[str, str], right: bool) -> None:
    qmp = source({**PAUSED, "query-migrate": {"status": "postcopy-paused", **why}})
    assert (check_failed_recovery(qmp, "tcp:nowhere:1", lambda: None) == []) is right
