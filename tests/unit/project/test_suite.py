"""The script that runs QEMU's own migration tests: which tests it runs, and which results it stores and reports."""

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


@pytest.fixture(scope="module")
def migration_tests() -> ModuleType:
    """`tests/qemu/migration_tests.py`, which belongs to it."""
    return script("qemu/migration_tests.py")


@pytest.fixture(scope="module")
def suite_results() -> ModuleType:
    """`tests/qemu/suite_results.py`, which belongs to it too."""
    return script("qemu/suite_results.py")


@pytest.fixture
def shell_tests(migration_tests: ModuleType, tmp_path: Path) -> Callable[..., Any]:
    """Migration tests whose program is a shell script."""

    def make(text: str, only: frozenset[str] | None = None, *, idle: bool = False) -> Any:
        program = tmp_path / "build" / "tests" / "qtest" / "migration-test"
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(0o755)
        return migration_tests.MigrationTests(program, Path("true"), None, tmp_path, only, idle)

    return make


@pytest.fixture
def main(
    suite: ModuleType, shell_tests: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., int]:
    """Runs the script with a shell script as the test program; the results are stored in the file `results`."""

    def call(text: str, *words: str) -> int:
        tests = shell_tests(text)
        arguments = ["--tests", tests.program, "--series", tests.series, "--results", tmp_path / "results", *words]
        monkeypatch.setattr(sys, "argv", ["suite.py", *map(str, arguments)])
        monkeypatch.setattr(os, "nice", lambda _: 0)  # it would slow down all later tests
        status: int = suite.main()
        return status

    return call


def names(path: Path, *tests: str) -> str:
    path.write_text("".join(f"{test}\n" for test in tests))
    return str(path)


def of_each(**cases: str) -> str:
    """A test program that has these tests, and runs a command for each."""
    listed = "".join(f"/t/{name}\\n" for name in cases)
    branches = "".join(f'*"-p /t/{name}"*) {command};; ' for name, command in cases.items())
    return f'case "$*" in *-l) printf "{listed}# a remark\\n";; {branches}*) exit 1;; esac'


def test_all_listed_tests_run_or_the_named_ones(
    main: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(of_each(ours="echo no; exit 1", theirs="true"), "--only", names(tmp_path / "only", "/t/theirs")) == 0
    assert "ours" not in capsys.readouterr().out
    assert main(of_each(ours="echo no; exit 1", theirs="true")) == 1
    output = capsys.readouterr().out
    assert "1/1 off       failed   /t/ours" in output, "the result of the other one was stored"
    assert "/t/ours: failed: no\n" in output


def test_the_option_full_runs_all_tests(main: Callable[..., int], tmp_path: Path) -> None:
    text = f'echo "$*" >>{tmp_path}/calls; {of_each(t="true")}'
    assert main(text) == 0
    assert (tmp_path / "calls").read_text() == "-l\n-p /t/t\n"
    (tmp_path / "results").unlink()
    assert main(text, "--full") == 0
    assert (tmp_path / "calls").read_text().splitlines()[2:] == ["--full -m slow -l", "--full -m slow -p /t/t"]


def test_a_test_below_the_path_of_another_runs_by_itself(main: Callable[..., int], tmp_path: Path) -> None:
    """Whether it is named or not."""
    text = of_each(t="true", **{"t/below": "exit 1"})
    assert main(f'echo "$*" >>{tmp_path}/calls; {text}', "--only", names(tmp_path / "only", "/t/t")) == 0
    assert (tmp_path / "calls").read_text() == "-l\n-p /t/t -s /t/t/below\n"


def test_a_skipped_test_is_an_error_unless_there_is_a_reason(
    main: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = of_each(good="true", skips="echo 'ok 1 /t/skips # SKIP too slow'")
    assert main(text) == 1
    output = capsys.readouterr().out
    assert "skipped: /t/skips: too slow\n/t/skips: skipped, without a reason in the file of skips: too slow\n" in output
    assert "off               1        1        0        0\n" in output
    (tmp_path / "skips").write_text("# why\n/t/skips  it has its reason\n")
    assert main(text, "--skips", str(tmp_path / "skips")) == 0
    assert "skipped: /t/skips: too slow (it has its reason)\nas it must be\n" in capsys.readouterr().out


def test_a_skipped_test_runs_again_after_the_others(
    main: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    marks = {name: tmp_path / name for name in ("began", "ended")}
    slow = f"[ -e {marks['ended']} ] || echo 'ok 1 /t/slow # SKIP too slow'; touch {marks['began']}"
    # the other one ends after the slow one
    other = f"while ! [ -e {marks['began']} ]; do sleep 0.01; done; touch {marks['ended']}"
    assert main(of_each(other=other, slow=slow)) == 0
    output = capsys.readouterr().out
    assert "alone off       passed   /t/slow" in output
    assert "off               2        0        0        0\n" in output


def test_a_test_that_was_skipped_in_an_earlier_run_runs_again(main: Callable[..., int], tmp_path: Path) -> None:
    assert main(of_each(test="echo 'ok 1 /t/test # SKIP too slow'")) == 1
    assert main(f'echo "$*" >>{tmp_path}/calls; {of_each(test="true")}') == 0
    assert main(f'echo "$*" >>{tmp_path}/calls; {of_each(test="exit 1")}') == 0, "the result of a passed test is stored"
    assert (tmp_path / "calls").read_text() == "-l\n-p /t/test\n-l\n"
    assert [json.loads(line)["result"] for line in (tmp_path / "results").open()] == ["skipped", "skipped", "passed"]


def test_a_named_test_that_does_not_exist_counts_as_skipped(
    main: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    only = ("--only", names(tmp_path / "only", "/t/test", "/t/gone"))
    assert main(of_each(test="true"), *only) == 1
    assert "/t/gone: skipped, without a reason in the file of skips: the program does not" in capsys.readouterr().out
    (tmp_path / "skips").write_text("/t/gone  needs what is not here\n")
    assert main(of_each(test="true"), *only, "--skips", str(tmp_path / "skips")) == 0
    assert "(needs what is not here)" in capsys.readouterr().out


def test_a_test_that_passes_or_fails_under_one_arm_is_not_only_skipped(suite_results: ModuleType) -> None:
    """A difference between the arms is an error of its own."""
    results = {
        ("unpatched", "/passes"): ("passed", ""),
        ("off", "/passes"): ("skipped", "slow"),
        ("unpatched", "/skips"): ("skipped", "slow"),
        ("off", "/skips"): ("skipped", "slow"),
        ("skip", "/skips"): ("refused", "multifd"),
    }
    assert suite_results.only_skipped(results) == {"/skips": "slow"}
    assert [error.split(":")[0] for error in suite_results.differences(results)] == ["/passes"]


def test_every_test_that_may_be_skipped_has_a_reason(suite_results: ModuleType) -> None:
    reasons = suite_results.skip_reasons((Path(__file__).parents[2] / "qemu/skips.txt").read_text())
    assert reasons
    assert all(test.startswith("/x86_64/") and reason for test, reason in reasons.items())


def test_a_program_without_tests_is_an_error(shell_tests: Callable[..., Any]) -> None:
    with pytest.raises(SystemExit, match="lists no test:\nBail out"):
        shell_tests("echo Bail out; exit 1").names()


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
def test_the_result_of_a_test(
    migration_tests: ModuleType, shell_tests: Callable[..., Any], text: str, result: tuple[str, str]
) -> None:
    assert shell_tests(text).result(migration_tests.OFF, "/t", []) == result


@pytest.mark.parametrize(
    ("accelerators", "result"), [("-accel kvm -accel tcg", "skipped"), ("-machine none -accel qtest", "passed")]
)
def test_the_option_idle_leaves_out_tests_that_run_a_guest(
    migration_tests: ModuleType, shell_tests: Callable[..., Any], accelerators: str, result: str
) -> None:
    text = f'"$QTEST_QEMU_BINARY" {accelerators}'
    assert shell_tests(text, idle=True).result(migration_tests.OFF, "/t", [])[0] == result


def test_all_wrappers_are_written_before_the_first_test(shell_tests: Callable[..., Any], tmp_path: Path) -> None:
    """Tests run side by side, and none may find an incomplete wrapper."""
    shell_tests("true")
    wrappers = {path.parent.name for path in tmp_path.rglob("qemu-system-x86_64") if os.access(path, os.X_OK)}
    assert wrappers == {"unpatched-None", "series-None", "series-observe", "series-skip"}


def test_a_test_that_prints_without_an_end_is_killed(
    migration_tests: ModuleType, shell_tests: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migration_tests, "TEST_SECONDS", 1.0)
    assert shell_tests("exec yes").result(migration_tests.OFF, "/t", []) == ("failed", "no end after 1 s")


def test_the_last_output_of_a_test_is_kept(migration_tests: ModuleType, shell_tests: Callable[..., Any]) -> None:
    tests = shell_tests(f"yes | head -c {3 * migration_tests.MOST_OUTPUT}; exit 1")
    assert len(tests._run(migration_tests.OFF).output) == migration_tests.MOST_OUTPUT
