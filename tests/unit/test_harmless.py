"""No text from outside is obeyed by a terminal, or begins a line of ours, on any way to a stream."""

from __future__ import annotations

import ast
import io
import json
import logging
import subprocess
import sys
import threading
from pathlib import Path

import fakedirty
import pytest
from fakedirty.cli.log_output import log_output
from fakedirty.cli.main import main
from fakedirty.cli.standard_streams import harmless_streams
from fakedirty.errors import FakedirtyError, UsageError
from fakedirty.harmless import HarmlessStream, harmless, harmless_lines, unfiltered
from fakedirty.show.svg import svg
from fakedirty.show.terminal import Terminal
from harm import FORGED, HOSTILE, harm
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

CLI = Path(fakedirty.__file__).parent / "cli"


@given(st.text())
def test_harmless_text_is_one_line_of_what_can_be_seen(text: str) -> None:
    shown = harmless(text)
    assert shown.isprintable()
    assert (shown == text) == text.isprintable()
    assert harmless(shown) == shown


def test_only_what_cannot_be_seen_is_escaped() -> None:
    assert harmless('w\u00fcrde "gern"\n\x7f') == 'w\u00fcrde "gern"\\n\\u007f'
    assert harmless_lines('w\u00fcrde\t"gern"\n\x7f') == 'w\u00fcrde\t"gern"\n\\u007f'


def test_what_is_below_all_filters() -> None:
    raw = io.StringIO()
    assert unfiltered(raw) is raw
    assert unfiltered(HarmlessStream(HarmlessStream(raw))) is raw


def test_a_terminal_writes_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    Terminal().print("a table")
    Terminal(stderr=True).print("a note")
    assert capsys.readouterr() == ("a table\n", "a note\n")


@given(st.text())
def test_json_stays_json_with_the_same_text(text: str) -> None:
    assert json.loads(harmless_lines(json.dumps({text: text}, indent=2))) == {text: text}


@given(st.text(), st.booleans())
def test_a_terminal_shows_any_text_as_text(text: str, styled: bool) -> None:
    out = io.StringIO()
    terminal = Terminal(file=out, width=60, force_terminal=styled, color_system="standard" if styled else None)
    table = Table(text, title=text, caption=text)
    table.add_row(text)
    table.add_row(Text(text, "green"))
    for each in (text, Text(text, "red"), Text("vm ", "bold").append(text, "red"), table, Group(text, Text(text))):
        terminal.print(each)
    assert not harm(out.getvalue().encode("utf-8", "surrogatepass"), styled=styled)


def test_markup_of_others_is_no_markup() -> None:
    out = io.StringIO()
    terminal = Terminal(file=out, width=60, force_terminal=True, color_system="standard")
    table = Table()
    table.add_column("[red]head[/red]")
    table.add_row("[red]x[/red] :smile:")
    terminal.print("[red]x[/red] :smile: [/nothing]")
    terminal.print(table)
    assert out.getvalue().count("[red]x[/red] :smile:") == 2
    assert "[red]head[/red]" in out.getvalue()
    assert "\x1b[31m" not in out.getvalue()


def test_styles_stay_where_they_were() -> None:
    out = io.StringIO()
    terminal = Terminal(file=out, width=60, force_terminal=True, color_system="standard")
    terminal.print(Text("a", "bold").append("\n", "red").append("b"))
    assert out.getvalue() == "\x1b[1ma\x1b[0m\x1b[1;31m\\n\x1b[0m\x1b[1mb\x1b[0m\n"


def test_a_style_covers_no_more_than_it_did() -> None:
    out = io.StringIO()
    terminal = Terminal(file=out, width=60, force_terminal=True, color_system="standard")
    terminal.print(Text("a").append("b", "red").append("\n"))
    assert out.getvalue() == "a\x1b[31mb\x1b[0m\\n\n"


def test_a_screen_that_moves_is_still_one_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.StringIO()
    monkeypatch.setenv("TERM", "xterm")  # on a dumb one no cursor is moved
    monkeypatch.setattr(sys, "stdout", raw)
    with harmless_streams():
        terminal = Terminal(force_terminal=True, color_system="standard", width=60)
        with Live(console=terminal, screen=True, auto_refresh=False) as live:
            live.update(Text(HOSTILE, "red"), refresh=True)
    text = raw.getvalue()
    assert text.startswith("\x1b[?1049h\x1b[H")  # rich's own moves of the cursor are obeyed
    assert r"\u001b[H" not in text
    assert "]0;owned" in text
    for each in ("\x1b]", "\a", "\x9b", "\x7f", "\u202e", "\u2028"):
        assert each not in text


def test_a_picture_of_a_screen_can_be_read_as_xml() -> None:
    from xml.etree import ElementTree as ET

    picture = ET.fromstring(svg(Group(Text(HOSTILE + "<script>"), HOSTILE), 300, "fakedirty watch"))
    assert r"\u001b]0;owned" in "".join(picture.itertext())
    assert not [each for each in picture.iter() if each.tag.endswith("script")]


@pytest.mark.parametrize("arguments", [[HOSTILE], ["doctor", HOSTILE], ["doctor", "--pid", HOSTILE], [f"--{HOSTILE}"]])
def test_the_parser_quotes_harmlessly(arguments: list[str], capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    with pytest.raises(SystemExit):
        main(arguments)
    out, err = capfdbinary.readouterr()
    assert b"error: " in err
    assert not harm(out + err)


def test_an_error_has_the_lines_that_it_was_given() -> None:
    assert str(UsageError("one", f"two {HOSTILE}")).split("\n") == ["one", f"two {harmless(HOSTILE)}"]


FAULTS = {
    "of ours": FakedirtyError(f"no VM named {HOSTILE}"),
    "of the program": KeyError(HOSTILE),
    "text": ValueError(HOSTILE),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=list(FAULTS))
def test_whatever_a_command_raises_is_set_off(
    fault: Exception, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    def fail(_: object) -> int:
        raise fault

    monkeypatch.setattr("fakedirty.cli.commands.mode.run", fail)
    assert main(["mode", "off", "--qmp", "/nowhere"]) == 1
    _, err = capfdbinary.readouterr()
    assert b"forged" in err
    assert not harm(err)


def test_whatever_is_logged_is_one_line(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    with harmless_streams(), log_output():
        for logger in ("fakedirty.observe.fleet", "asyncio"):
            logging.getLogger(logger).warning("%s cannot be observed", HOSTILE)
            try:
                raise ValueError(HOSTILE)
            except ValueError:
                logging.getLogger(logger).exception("a request failed")
        thread = threading.Thread(target=lambda: {}[HOSTILE], name=HOSTILE)
        thread.start()
        thread.join()
    _, err = capfdbinary.readouterr()
    assert err.decode().count("forged") >= 5
    assert err.decode().count("fakedirty: ") - err.decode().count(FORGED) >= 4
    assert not harm(err)


def test_warnings_of_libraries_are_one_line_too() -> None:
    code = (
        "import sys, warnings\nfrom fakedirty.cli.log_output import log_output\n"
        "from fakedirty.cli.standard_streams import harmless_streams\n"
        "with harmless_streams(), log_output():\n    warnings.warn(sys.argv[1], UserWarning, stacklevel=1)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, HOSTILE], capture_output=True, check=True)
    assert b"forged" in done.stderr
    assert not harm(done.stderr)


def test_commands_print_by_way_of_what_makes_harmless() -> None:
    """No bare print, no console of rich's own, no stream below ours."""
    wrong = []
    for path in CLI.glob("*.py"):
        if path.name in ("printing.py", "standard_streams.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("print", "Console"):
                wrong.append(f"{path.name}:{node.lineno}: {node.func.id}")
            if isinstance(node, ast.Attribute) and node.attr in ("buffer", "__stdout__", "__stderr__"):
                wrong.append(f"{path.name}:{node.lineno}: {node.attr}")
    assert wrong == []


def test_a_write_counts_what_it_was_given() -> None:
    raw = io.StringIO()
    assert HarmlessStream(raw).write("a\x1b[1m") == 5
    assert raw.getvalue() == "a\\u001b[1m"
