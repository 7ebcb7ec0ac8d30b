"""``fakedirty watch``: the migrations of this host while they run."""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.live import Live

from fakedirty.cli.printing import print_json
from fakedirty.errors import UsageError
from fakedirty.model.vm_names import visible
from fakedirty.record.output_checks import check_file
from fakedirty.service.control import DEFAULT_SOCKET, request
from fakedirty.service.signals import stop_signals
from fakedirty.service.watched_vms import WatchedVms, watched
from fakedirty.show.svg import svg
from fakedirty.show.terminal import Terminal
from fakedirty.show.watch import SHARES_SHOWN, Watched, screen
from fakedirty.show.watch_lines import NewLines

NAME = "watch"
HELP = "watch the migrations of this host while they run, with the verdict on each"
EPILOG = """\
examples:
  fakedirty watch                    every VM that the service observes, on one screen, until Ctrl-C
  fakedirty watch --vm web           only this VM
  fakedirty watch | tee log          a line for each round, toggle, verdict, stall and end
  fakedirty watch --svg end.svg      the same screen, and as a picture when Ctrl-C has ended it
  fakedirty watch --json             everything that is known, a JSON object on a line whenever it has changed

exit status: 0 done; 1 no service answers (fakedirty observe shows one QEMU without it); 2 wrong usage
"""

Looks = Iterable[list[Mapping[str, Any]]]  # what the service returns of its VMs, again and again


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("--vm", metavar="NAME", help="only this VM")
    parser.add_argument(
        "--every", type=float, default=0.5, metavar="SECONDS", help="time between two requests; default: 0.5"
    )
    parser.add_argument("--control", type=Path, default=DEFAULT_SOCKET, metavar="SOCKET", help="the service's socket")
    parser.add_argument("--json", action="store_true", help="JSON lines instead of a screen")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="write the last screen there, as a picture")


def run(arguments: argparse.Namespace) -> int:
    """Request the status again and again, and show what is new."""
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
            _print_json(looks)
        elif terminal.is_terminal:
            _show(_remembered(looks), terminal, arguments.svg)
        else:
            _print_lines(_remembered(looks), terminal)
    return 0


def _looks(arguments: argparse.Namespace, stop: threading.Event) -> Iterator[list[Mapping[str, Any]]]:
    while not stop.is_set():
        vms = request("status", path=arguments.control, rounds=SHARES_SHOWN)["vms"]
        yield [vm for vm in vms if arguments.vm is None or vm["vm"] in (arguments.vm, visible(arguments.vm))]
        stop.wait(arguments.every)


def _remembered(looks: Looks) -> Iterator[list[Watched]]:
    """With the VMs that have left the host a short time ago."""
    memory = WatchedVms()
    for vms in looks:
        yield memory.look(watched(vm, time.time()) for vm in vms)


def _show(looks: Iterable[list[Watched]], terminal: Terminal, picture: Path | None) -> None:
    """Show a screen of its own; what was seen last stays in the terminal afterwards."""
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


def _print_json(looks: Looks) -> None:
    known: object = None
    for vms in looks:
        if vms != known:
            known = vms
            print_json({"vms": vms}, indent=None)


def _print_lines(looks: Iterable[list[Watched]], terminal: Terminal) -> None:
    new = NewLines()
    for vms in looks:
        for text in new.since_last(vms):
            terminal.print(text, soft_wrap=True)
