"""The terminal: where it writes, and that lines come as they are."""

from __future__ import annotations

import pytest
from fakedirty.show.terminal import Terminal


@pytest.mark.parametrize("stderr", [None, False, True])
def test_it_writes_to_standard_output_unless_told_otherwise(
    stderr: bool | None, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal = Terminal() if stderr is None else Terminal(stderr=stderr)
    terminal.print_lines(["one", "[bold]two[/]"])
    captured = capsys.readouterr()
    written, other = (captured.err, captured.out) if stderr else (captured.out, captured.err)
    assert (written, other) == ("one\n[bold]two[/]\n", "")
