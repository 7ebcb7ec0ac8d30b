"""``--log-level``: what is logged from which level on, and how its lines look."""

from __future__ import annotations

import logging

import pytest
from fakedirty.cli.commands import observe
from fakedirty.cli.log_output import log_output, set_log_level
from fakedirty.cli.main import main
from fakedirty.log_levels import LOG_LEVELS, NOTICE
from fakedirty.service.session import ObservationResult

ALL = ["a debug line", "a decision", "a notice", "fakedirty: a warning", "fakedirty: an error"]


def log_at_every_level(*_: object) -> ObservationResult:
    log = logging.getLogger("fakedirty.service.some")
    log.debug("a debug line")
    log.info("a decision")
    log.log(NOTICE, "a notice")
    log.warning("a warning")
    log.error("an error")
    return ObservationResult(valid=True, recorded=True)


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        (["--all"], ALL[1:]),
        (["--pid", "1"], ALL[2:]),
        *((["--all", "--log-level", level], ALL[number:]) for number, level in enumerate(LOG_LEVELS)),
        *((["--pid", "1", "--log-level", level], ALL[number:]) for number, level in enumerate(LOG_LEVELS)),
    ],
    ids=lambda each: " ".join(each) if each[0].startswith("--") else None,
)
def test_what_is_logged(
    arguments: list[str], lines: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("fakedirty.service.daemon.run", log_at_every_level)
    monkeypatch.setattr("fakedirty.service.single_qemu.observe", log_at_every_level)
    monkeypatch.setattr(observe, "choose", lambda arguments: None)
    assert main(["observe", *arguments]) == 0
    assert capsys.readouterr().err.splitlines() == lines


def test_an_unknown_level_is_refused_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["observe", "--log-level", "loud"])
    reported = capsys.readouterr().err
    assert "loud" in reported
    assert all(name in reported for name in LOG_LEVELS)


def test_logging_is_afterwards_as_it_was_before() -> None:
    ours, root = logging.getLogger("fakedirty"), logging.getLogger()
    before = (ours.level, ours.propagate, list(ours.handlers), list(root.handlers))
    with log_output():
        set_log_level("debug")
        assert (ours.level, ours.propagate) == (logging.DEBUG, False)
    assert (ours.level, ours.propagate, list(ours.handlers), list(root.handlers)) == before
