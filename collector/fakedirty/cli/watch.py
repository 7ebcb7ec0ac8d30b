"""``fakedirty watch``: the migrations of this host as they go."""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.live import Live

from fakedirty.errors import UsageError
from fakedirty.model.vm_names import visible
from fakedirty.record.output_checks import check_file
from fakedirty.service.control import DEFAULT_SOCKET, ask
from fakedirty.show.columns import NARROW
from fakedirty.show.svg import svg
from fakedirty.show.table import heading, line
from fakedirty.show.terminal import Terminal
from fakedirty.show.watch import SHARES_SHOWN, Watched, screen, unique_names

from .printing import print_json
from .termination import stop_signals
from .watched_vms import WatchedVms, watched

NAME = "watch"
HELP = "the migrations of this host as they go, with the verdict on each"
EPILOG = """\
examples:
  fakedirty watch                    every VM that the service observes, on one screen, until Ctrl-C
  fakedirty watch --vm web           this one alone
  fakedirty watch | tee log          a line for each round, toggle, verdict and end
  fakedirty watch --svg end.svg      the same screen, and as a picture when Ctrl-C has ended it
  fakedirty watch --json             all that is known, a JSON object a line whenever it has changed

exit status: 0 done; 1 no service answers (fakedirty observe shows one QEMU without it); 2 wrong usage
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments."""
    parser.add_argument("--vm", metavar="NAME", help="this VM alone")
    parser.add_argument("--every", type=float, default=0.5, metavar="SECONDS", help="between two looks; default: 0.5")
    parser.add_argument("--control", type=Path, default=DEFAULT_SOCKET, metavar="SOCKET", help="the service's socket")
    parser.add_argument("--json", action="store_true", help="JSON lines instead of a screen")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="write the last screen there, as a picture")


def run(arguments: argparse.Namespace) -> int:
    """Look again and again, and show what is new."""
    if arguments.every <= 0:
        raise UsageError("--every is a number of seconds above 0")
    terminal = Terminal()
    if arguments.svg and (arguments.json or not terminal.is_terminal):
        raise UsageError("--svg is a picture of the screen: it needs a terminal, and goes without --json")
    if arguments.svg is not None:
        check_file(arguments.svg, "--svg")
    with stop_signals() as stop:
        looks = _looks(arguments, stop)
        if arguments.json:
            _say_json(looks)
        elif terminal.is_terminal:
            _show(_remembered(looks), terminal, arguments.svg)
        else:
            _say_lines(_remembered(looks), terminal)
    return 0


def _looks(arguments: argparse.Namespace, stop: threading.Event) -> Iterator[list[Mapping[str, Any]]]:
    while not stop.is_set():
        told = ask("status", path=arguments.control, rounds=SHARES_SHOWN)
        yield [vm for vm in told["vms"] if arguments.vm is None or vm["vm"] in (arguments.vm, visible(arguments.vm))]
        stop.wait(arguments.every)


def _remembered(looks: Iterable[list[Mapping[str, Any]]]) -> Iterator[list[Watched]]:
    memory = WatchedVms()
    for vms in looks:
        yield memory.look(watched(vm, time.time()) for vm in vms)


def _show(looks: Iterable[list[Watched]], terminal: Terminal, picture: Path | None) -> None:
    """On a screen of its own; what was last seen stays when that is left."""
    last: RenderableType = ""
    try:
        with Live(console=terminal, screen=True, auto_refresh=False) as live:
            for vms in looks:
                last = screen(vms, terminal.width, terminal.height)
                live.update(last, refresh=True)
    finally:
        terminal.print(last)
        if picture:
            _write(picture, svg(last, terminal.width, "fakedirty watch"))


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error


def _say_json(looks: Iterable[list[Mapping[str, Any]]]) -> None:
    known: object = None
    for vms in looks:
        if vms != known:
            known = vms
            print_json({"vms": vms}, indent=None)


def _say_lines(looks: Iterable[list[Watched]], terminal: Terminal) -> None:
    """What is new since the look before, each line with its VM."""
    said: dict[str, set[str]] = {}
    for vms in looks:
        said = {each.migration_id: said.get(each.migration_id, set()) for each in vms}
        names = unique_names(vms)
        for each in vms:
            known = said[each.migration_id]
            for text in _lines(each):
                if text not in known:
                    known.add(text)
                    terminal.print(f"{names[each.process]}: {text}", soft_wrap=True)


def _lines(of: Watched) -> Iterator[str]:
    if not of.state:
        return
    yield f"migration {of.migration_id}, level {of.level}"
    if of.rounds:
        yield heading(NARROW).plain
    yield from (line(NARROW, r).plain for r in of.rounds)
    yield from (f"-- {toggle}" for toggle in of.toggles)
    if of.running and of.verdict:
        yield of.verdict
    if of.gone and not of.outcome:
        yield f"gone, last seen {of.state}"
    elif not of.running:
        yield "; ".join(filter(None, (of.state, of.outcome)))
