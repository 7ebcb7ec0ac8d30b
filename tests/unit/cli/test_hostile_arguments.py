"""Every command, found from its parser, with hostile values in each of its arguments: nothing of them is obeyed."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_leaves import LEAVES
from fakedirty.cli.main import main
from harm import FORGED, HOSTILE_FILE, harm

#: wherever a command would begin something large before it looks at the rest
FIRST = {"--qemu": HOSTILE_FILE, "--vm": HOSTILE_FILE, "--control": HOSTILE_FILE}
ENVIRONMENT = ("FAKEDIRTY_QEMU", "FAKEDIRTY_QEMU_SOURCE", "FAKEDIRTY_GRAFANA_TOKEN", "BCC_KERNEL_SOURCE")


def command_lines(words: tuple[str, ...], parser: argparse.ArgumentParser) -> Iterator[list[str]]:
    """With one that it does not know, and with each argument hostile in turn, those that it needs too."""
    takes_value = [each for each in parser._actions if each.option_strings and each.nargs != 0]
    positional = [
        HOSTILE_FILE if not each.choices else next(iter(each.choices)) for each in parser._get_positional_actions()
    ]
    always: list[str] = []
    for each in takes_value:
        if each.required or each.option_strings[0] in FIRST:
            always += [each.option_strings[0], FIRST.get(each.option_strings[0], HOSTILE_FILE)]
    if any(group.required for group in parser._mutually_exclusive_groups):
        always += ["--out", HOSTILE_FILE]
    yield [*words, *positional, *always, f"--{HOSTILE_FILE}"]
    yield [*words, *positional, *always, HOSTILE_FILE, HOSTILE_FILE]
    yield [*words, *[HOSTILE_FILE] * len(positional), *always]
    for each in takes_value:
        yield [*words, *positional, *always, each.option_strings[0], HOSTILE_FILE]


@pytest.mark.parametrize("leaf", LEAVES)
def test_no_argument_is_obeyed(
    leaf: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ENVIRONMENT:
        monkeypatch.setenv(name, HOSTILE_FILE)
    echoed = b""
    for arguments in command_lines(*LEAVES[leaf]):
        try:
            status = main(arguments)
        except SystemExit as end:
            status = int(end.code or 0)
        out, err = capfdbinary.readouterr()
        assert not harm(out + err), arguments
        assert b"Traceback" not in err, (arguments, err.decode())
        assert status in (0, 1, 2), arguments
        echoed += out + err
    assert FORGED.encode() in echoed  # there was something to be obeyed
