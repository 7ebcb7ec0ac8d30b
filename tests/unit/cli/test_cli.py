"""The command's frame: help without anything optional, errors as one line, exit statuses."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest
from fakedirty import __version__
from fakedirty.cli import main as frame
from fakedirty.cli.main import COMMANDS, main, module_of
from fakedirty.errors import FakedirtyError, LabError, UsageError


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fakedirty.cli.main", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_its_parts_and_is_called_what_it_calls_itself(name: str) -> None:
    module = importlib.import_module(f"fakedirty.cli.commands.{module_of(name)}")
    assert (name, COMMANDS[name]) == (module.NAME, module.HELP)
    assert callable(module.add_arguments)
    assert callable(module.run)


def test_no_command_is_left_out() -> None:
    found = {
        path.stem if path.stem != "command" else path.parent.name
        for path in Path(frame.__file__).parent.rglob("*.py")
        if "\ndef add_arguments(" in path.read_text() and path.stem != "main"
    }
    assert found == set(map(module_of, COMMANDS))


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_each_command(name: str) -> None:
    result = run(name, "--help")
    assert result.returncode == 0, result.stderr
    assert f"usage: fakedirty {name}" in result.stdout


def test_help_has_examples_and_needs_nothing_heavy() -> None:
    code = (
        "import sys\nfrom fakedirty.cli.main import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit as end:\n    assert end.code == 0\n"
        "heavy = {'bcc', 'pandas', 'numpy', 'rich', 'pyarrow'} & set(sys.modules)\nassert not heavy, heavy\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "examples:" in result.stdout
    for name, text in COMMANDS.items():
        assert name in result.stdout
        assert text.split(":", maxsplit=1)[0] in " ".join(result.stdout.split())


def test_version() -> None:
    assert run("--version").stdout == f"fakedirty {__version__}\n"


@pytest.mark.parametrize("arguments", [(), ("nonsense",), ("observe", "--pid", "x"), ("mode", "maybe", "--qmp", "x")])
def test_wrong_usage_is_status_2(arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert result.returncode == 2
    assert "usage: fakedirty" in result.stderr


ENDS = {
    LabError("the link is down"): (1, "fakedirty: the link is down\n"),
    UsageError("there is no such thing"): (2, "fakedirty: there is no such thing\n"),
    KeyboardInterrupt(): (130, ""),
    BrokenPipeError(): (1, ""),
}


@pytest.mark.parametrize("error", ENDS, ids=lambda error: type(error).__name__)
def test_errors_become_a_line_and_a_status(
    error: BaseException, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(_: object) -> int:
        raise error

    monkeypatch.setattr("fakedirty.cli.commands.mode.run", fail)
    monkeypatch.setattr("os.dup2", lambda *_: None)
    status, text = ENDS[error]
    assert main(["mode", "off", "--qmp", "/nowhere"]) == status
    assert capfd.readouterr().err == text


def test_a_part_that_is_missing_breaks_its_own_command_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(COMMANDS, "absent", "is not there")
    assert main(["absent"]) == 1
    assert "absent" in capsys.readouterr().err
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        (["--pages"], 2, "--out"),
        (["--listen", "nowhere"], 2, "HOST:PORT"),
        (["--pid", "999999999"], 1, "no process 999999999"),
        (["--pid", "1"], 1, "not a QEMU"),
        (["--qmp", "/nowhere"], 1, "/nowhere"),
        (["--vm", "a-name-that-nobody-gives"], 1, "no VM named a-name-that-nobody-gives"),
    ],
)
def test_observe_refuses_with_the_reason(
    arguments: list[str], status: int, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["observe", *arguments]) == status
    error = capsys.readouterr().err
    assert error.startswith("fakedirty: ")
    assert error.count("\n") == 1
    assert text in error


def test_every_error_of_ours_is_one_root() -> None:
    assert issubclass(UsageError, FakedirtyError)
