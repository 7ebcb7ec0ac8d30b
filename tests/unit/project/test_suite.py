"""The script that runs QEMU's own tests: which of them, and what is kept of what they say."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from scripts import script


@pytest.fixture(scope="module")
def suite() -> ModuleType:
    """`tests/qemu/suite.py`, which is a script."""
    return script("qemu/suite.py")


@pytest.fixture
def place(suite: ModuleType, tmp_path: Path) -> Callable[..., Any]:
    """A place whose test program is a shell script."""

    def made(text: str, only: frozenset[str] | None = None, *, idle: bool = False) -> Any:
        tests = tmp_path / "build" / "tests" / "qtest" / "migration-test"
        tests.parent.mkdir(parents=True, exist_ok=True)
        tests.write_text(f"#!/bin/sh\n{text}\n")
        tests.chmod(0o755)
        return suite.Place(tests, Path("true"), None, tmp_path, only, idle)

    return made


@pytest.fixture
def main(
    suite: ModuleType, place: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., int]:
    """The script itself, whose test program is a shell script; the results are kept in the file `results`."""

    def called(text: str, *words: str) -> int:
        made = place(text)
        given = ["--tests", made.tests, "--series", made.series, "--results", tmp_path / "results", *words]
        monkeypatch.setattr(sys, "argv", ["suite.py", *map(str, given)])
        monkeypatch.setattr(os, "nice", lambda _: 0)  # for good, and of whatever runs these tests
        status: int = suite.main()
        return status

    return called


def names(path: Path, *tests: str) -> str:
    path.write_text("".join(f"{test}\n" for test in tests))
    return str(path)


def of_each(**cases: str) -> str:
    """A test program that has these tests, and does that for each."""
    listed = "".join(f"/t/{name}\\n" for name in cases)
    branches = "".join(f'*"-p /t/{name}"*) {does};; ' for name, does in cases.items())
    return f'case "$*" in *-l) printf "{listed}# a remark\\n";; {branches}*) exit 1;; esac'


def test_what_the_program_lists_is_run_or_those_of_it_that_are_named(
    main: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(of_each(ours="echo no; exit 1", theirs="true"), "--only", names(tmp_path / "only", "/t/theirs")) == 0
    assert "ours" not in capsys.readouterr().out
    assert main(of_each(ours="echo no; exit 1", theirs="true")) == 1
    said = capsys.readouterr().out
    assert "1/1 off       failed   /t/ours" in said, "the other one was kept"
    assert "/t/ours: failed: no\n" in said


def test_the_full_set_is_run_where_that_is_asked_for(main: Callable[..., int], tmp_path: Path) -> None:
    text = f'echo "$*" >>{tmp_path}/calls; {of_each(t="true")}'
    assert main(text) == 0
    assert (tmp_path / "calls").read_text() == "-l\n-p /t/t\n"
    (tmp_path / "results").unlink()
    assert main(text, "--full") == 0
    assert (tmp_path / "calls").read_text().splitlines()[2:] == ["--full -m slow -l", "--full -m slow -p /t/t"]


def test_one_below_the_path_of_another_runs_by_itself(main: Callable[..., int], tmp_path: Path) -> None:
    """Whether it is one of those that are asked for or not."""
    text = of_each(t="true", **{"t/below": "exit 1"})
    assert main(f'echo "$*" >>{tmp_path}/calls; {text}', "--only", names(tmp_path / "only", "/t/t")) == 0
    assert (tmp_path / "calls").read_text() == "-l\n-p /t/t -s /t/t/below\n"


def test_one_that_is_skipped_is_an_error_unless_there_is_a_reason(
    main: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = of_each(good="true", skips="echo 'ok 1 /t/skips # SKIP too slow'")
    assert main(text) == 1
    said = capsys.readouterr().out
    assert "skipped: /t/skips: too slow\n/t/skips: skipped, and nothing says that it may be: too slow\n" in said
    assert "off               1        1        0        0\n" in said
    (tmp_path / "skips").write_text("# why\n/t/skips  it has its reason\n")
    assert main(text, "--skips", str(tmp_path / "skips")) == 0
    assert "skipped: /t/skips: too slow (it has its reason)\nas it must be\n" in capsys.readouterr().out


def test_one_that_is_skipped_runs_once_more_when_the_others_have_ended(
    main: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    marks = {name: tmp_path / name for name in ("began", "ended")}
    slow = f"[ -e {marks['ended']} ] || echo 'ok 1 /t/slow # SKIP too slow'; touch {marks['began']}"
    # the other one ends when the slow one has run
    other = f"while ! [ -e {marks['began']} ]; do sleep 0.01; done; touch {marks['ended']}"
    assert main(of_each(other=other, slow=slow)) == 0
    said = capsys.readouterr().out
    assert "alone off       passed   /t/slow" in said
    assert "off               2        0        0        0\n" in said


def test_one_that_was_skipped_runs_again(main: Callable[..., int], tmp_path: Path) -> None:
    assert main(of_each(test="echo 'ok 1 /t/test # SKIP too slow'")) == 1
    assert main(f'echo "$*" >>{tmp_path}/calls; {of_each(test="true")}') == 0
    assert main(f'echo "$*" >>{tmp_path}/calls; {of_each(test="exit 1")}') == 0, "what passed is kept"
    assert (tmp_path / "calls").read_text() == "-l\n-p /t/test\n-l\n"
    assert [json.loads(line)["result"] for line in (tmp_path / "results").open()] == ["skipped", "skipped", "passed"]


def test_one_that_is_asked_for_and_is_not_there_counts_as_skipped(
    main: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    only = ("--only", names(tmp_path / "only", "/t/test", "/t/gone"))
    assert main(of_each(test="true"), *only) == 1
    assert "/t/gone: skipped, and nothing says that it may be: the program does not" in capsys.readouterr().out
    (tmp_path / "skips").write_text("/t/gone  needs what is not here\n")
    assert main(of_each(test="true"), *only, "--skips", str(tmp_path / "skips")) == 0
    assert "(needs what is not here)" in capsys.readouterr().out


def test_one_that_passes_or_fails_under_one_arm_is_not_among_the_skipped(suite: ModuleType) -> None:
    """What differs between the arms is wrong by itself."""
    results = {
        ("unpatched", "/passes"): ("passed", ""),
        ("off", "/passes"): ("skipped", "slow"),
        ("unpatched", "/skips"): ("skipped", "slow"),
        ("off", "/skips"): ("skipped", "slow"),
        ("skip", "/skips"): ("refused", "multifd"),
    }
    assert suite.skipped(results) == {"/skips": "slow"}
    assert [said.split(":")[0] for said in suite.wrong(results)] == ["/passes"]


def test_each_that_may_be_skipped_has_its_reason(suite: ModuleType) -> None:
    reasons = suite.reasons((Path(__file__).parents[2] / "qemu/skips.txt").read_text())
    assert reasons
    assert all(test.startswith("/x86_64/") and reason for test, reason in reasons.items())


def test_a_program_that_lists_nothing_is_an_error(suite: ModuleType, place: Callable[..., Any]) -> None:
    with pytest.raises(SystemExit, match="lists no test:\nBail out"):
        place("echo Bail out; exit 1").listed()


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("echo 'ok 1 /t'", ("passed", "")),
        ("echo 'ok 1 /t # SKIP no huge pages'", ("skipped", "no huge pages")),
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
