"""The options of ``observe``: the command line wins over the file, also where it has the default."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest
from fakedirty.cli.commands.observe import add_arguments
from fakedirty.cli.observe_options import IN_CONFIGURATION, options_of
from fakedirty.errors import UsageError
from fakedirty.service.config import Configuration, tables
from fakedirty.service.options import Options

FILE = """\
[observe]
level = "stock"
pages = true
sample = 16
page_ring = 64
hold_socket = true
[record]
directory = "{out}"
keep_days = 30
[metrics]
listen = "127.0.0.1:1"
insecure = true
[control]
socket = "{out}/control"
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("web.yml").write_text(f"basic_auth_users:\n  scraper: $2y$10${'x' * 53}\n")
    path = tmp_path / "fakedirty.toml"
    path.write_text(FILE.format(out=tmp_path))
    return path


def options(*arguments: str) -> Options:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return options_of(parser.parse_args(arguments))


def test_without_a_command_line_the_file_is_in_force(file: Path, tmp_path: Path) -> None:
    found = options("--all", "--config", str(file)).configuration
    observe, record = found.observe, found.record
    assert (observe.level, observe.pages, observe.sample, observe.page_ring) == ("stock", True, 16, 64)
    assert (observe.hold_socket, found.metrics.insecure) == (True, True)
    assert (record.directory, record.keep_days) == (str(tmp_path), 30)
    assert (found.metrics.listen, found.control.socket) == ("127.0.0.1:1", f"{tmp_path}/control")


@pytest.mark.parametrize(
    ("arguments", "option", "value"),
    [
        (["--sample", "1/1"], ("observe", "sample"), 1),
        (["--sample", "1/4"], ("observe", "sample"), 4),
        (["--page-ring", "16"], ("observe", "page_ring"), 16),
        (["--level", "qmp"], ("observe", "level"), "qmp"),
        (["--level", "best"], ("observe", "level"), "best"),
        (["--no-pages"], ("observe", "pages"), False),
        (["--no-hold-socket"], ("observe", "hold_socket"), False),
        (["--listen", "127.0.0.1:9752"], ("metrics", "listen"), "127.0.0.1:9752"),
        (["--listen", ""], ("metrics", "listen"), ""),
        (["--web-config", "web.yml"], ("metrics", "web_config"), "web.yml"),
        (["--out", "."], ("record", "directory"), "."),
        (["--control", "here"], ("control", "socket"), "here"),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, list) else None,
)
def test_the_command_line_wins(arguments: list[str], option: tuple[str, str], value: object, file: Path) -> None:
    without, found = (options("--all", "--config", str(file), *more).configuration for more in ([], arguments))
    table, name = option
    assert getattr(getattr(found, table), name) == value != getattr(getattr(without, table), name)
    # and nothing else has changed
    assert found.with_values({option: getattr(getattr(without, table), name)}) == without


@pytest.mark.parametrize(
    ("flag", "option"),
    [
        ("--pages", ("observe", "pages")),
        ("--hold-socket", ("observe", "hold_socket")),
        ("--insecure-listen", ("metrics", "insecure")),
    ],
)
def test_a_flag_is_in_force_where_the_file_has_it_off(flag: str, option: tuple[str, str], tmp_path: Path) -> None:
    file = tmp_path / "fakedirty.toml"
    file.write_text(f'record.directory = "{tmp_path}"\ncontrol.socket = ""\n')
    found = options("--all", "--config", str(file), flag).configuration
    assert getattr(getattr(found, option[0]), option[1]) is True


def test_the_command_line_wins_when_the_file_is_read_again(file: Path) -> None:
    found = options("--all", "--config", str(file), "--sample", "1/1")
    file.write_text(file.read_text().replace("sample = 16", "sample = 32").replace('level = "stock"', "level = 'qmp'"))
    again = found.source.read()
    assert (again.observe.sample, again.observe.level) == (1, "qmp")


def test_without_a_file_nothing_is_served_or_answered() -> None:
    found = options("--all").configuration
    assert (found.metrics.listen, found.control.socket, found.record.directory) == ("", "", "")
    assert found.observe == Configuration().observe


def test_every_argument_is_an_option_of_the_configuration() -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    defaults = {each.dest: each.default for each in parser._actions}
    for name, (table, option) in IN_CONFIGURATION.items():
        assert option in tables()[table].model_fields
        assert defaults[name] is None, "a default would win over the file"


@pytest.mark.parametrize(
    ("arguments", "reported"),
    [
        (["--all", "--pid", "1"], "leave --pid, --vm and --qmp out"),
        (["--all", "--record", "x"], "a trace is of one QEMU"),
        (["--all", "--once"], "choose a QEMU with --pid or --vm"),
        (["--control", "x"], "--control is for the service"),
        (["--config", "x"], "--config is for the service"),
        (["--pages"], "--pages needs a place to record to: add --out DIR"),
        (["--page-ring", "3"], "--page-ring is a power of two"),
        (["--web-config", "x"], "add --listen HOST:PORT"),
        (["--listen", ":1", "--web-config", "/none"], "cannot read /none"),
        (["--insecure-listen"], "add --listen HOST:PORT"),
        (["--listen", "nowhere"], "HOST:PORT"),
        (["--listen", "0.0.0.0:1"], "is not a loopback address"),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, list) else None,
)
def test_contradictions_are_refused(arguments: list[str], reported: str) -> None:
    with pytest.raises(UsageError, match=reported):
        options(*arguments)


def test_a_place_is_named_as_it_was_given(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    config = tmp_path / "fakedirty.toml"
    config.write_text(f'record.directory = "{tmp_path}/file"\n[control]\nsocket = ""\n[metrics]\nlisten = ""\n')
    with pytest.raises(UsageError, match=r"cannot write to record\.directory"):
        options("--all", "--config", str(config))
    with pytest.raises(UsageError, match="cannot write to --out"):
        options("--all", "--config", str(config), "--out", f"{tmp_path}/file")
