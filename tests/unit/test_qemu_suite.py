"""The script that runs QEMU's own tests: which of them, and what is kept of what they say."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from scripts import script

LISTED = "/x86_64/migration/ours\n/x86_64/migration/theirs\n"


@pytest.fixture(scope="module")
def suite() -> ModuleType:
    """`tests/qemu/suite.py`, which is a script."""
    return script("qemu/suite.py")


@pytest.fixture
def place(suite: ModuleType, tmp_path: Path) -> Callable[..., Any]:
    """A place whose test program is a shell script."""

    def made(text: str, only: frozenset[str] | None = None, *, idle: bool = False) -> Any:
        tests = tmp_path / "build" / "tests" / "qtest" / "migration-test"
        tests.parent.mkdir(parents=True)
        tests.write_text(f"#!/bin/sh\n{text}\n")
        tests.chmod(0o755)
        return suite.Place(tests, Path("true"), None, tmp_path, only, idle)

    return made


def test_what_the_program_lists_is_run_or_those_of_it_that_are_named(
    suite: ModuleType, place: Callable[..., Any]
) -> None:
    made = place(f"printf '{LISTED}# a remark\n'", frozenset({"/x86_64/migration/theirs", "/x86_64/migration/gone"}))
    assert made.listed() == ["/x86_64/migration/theirs"]


def test_a_program_that_lists_nothing_is_an_error(suite: ModuleType, place: Callable[..., Any]) -> None:
    with pytest.raises(SystemExit, match="lists no test:\nBail out"):
        place("echo Bail out; exit 1").listed()


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("echo 'ok 1 /t'", ("passed", "")),
        ("echo 'ok 1 /t # SKIP no huge pages'", ("skipped", "")),
        (
            "echo \"fake-dirty-mode 'skip' is not compatible with capability 'multifd'\" >&2; exit 1",
            ("refused", "multifd"),
        ),
        ("echo no; exit 1", ("failed", "no\n")),
    ],
)
def test_how_a_test_ends(suite: ModuleType, place: Callable[..., Any], text: str, result: tuple[str, str]) -> None:
    assert place(text).result(suite.OFF, "/t", []) == result


@pytest.mark.parametrize(
    ("accelerators", "result"), [("-accel kvm -accel tcg", "skipped"), ("-machine none -accel qtest", "passed")]
)
def test_where_no_guest_is_to_run_those_that_need_one_are_left_out(
    suite: ModuleType, place: Callable[..., Any], accelerators: str, result: str
) -> None:
    text = f'"$QTEST_QEMU_BINARY" {accelerators}'
    assert place(text, idle=True).result(suite.OFF, "/t", [])[0] == result


def test_what_tests_start_is_there_before_the_first_of_them(place: Callable[..., Any], tmp_path: Path) -> None:
    """Tests run side by side, and one must not find what another one is still making."""
    place("true")
    made = {path.parent.name for path in tmp_path.rglob("qemu-system-x86_64") if os.access(path, os.X_OK)}
    assert made == {"unpatched-None", "series-None", "series-observe", "series-skip"}


def test_one_that_says_the_same_for_ever_is_ended_and_its_last_words_kept(
    suite: ModuleType, place: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suite, "TEST_SECONDS", 1.0)
    made = place("exec yes")
    assert made.result(suite.OFF, "/t", []) == ("failed", "no end after 1 s")
    ended = made.__class__(made.tests, made.series, None, made.scratch, None)
    ended.tests.write_text(f"#!/bin/sh\nyes | head -c {3 * suite.MOST_OUTPUT}; exit 1\n")
    assert len(ended._run(suite.OFF).output) == suite.MOST_OUTPUT
