"""``fakedirty watch``: the migrations of this host as they go."""

from __future__ import annotations

import argparse
import json
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.live import Live

from fakedirty.errors import UsageError
from fakedirty.record.restore import round_of
from fakedirty.service.control import DEFAULT_SOCKET, ask
from fakedirty.show.columns import NARROW
from fakedirty.show.table import heading, line, toggle_words
from fakedirty.show.terminal import Terminal
from fakedirty.show.watch import SHARES_SHOWN, Watched, screen

from .termination import stop_signals

NAME = "watch"
HELP = "the migrations of this host as they go, with the verdict on each"
EPILOG = """\
examples:
  fakedirty watch                    every VM that the service observes, on one screen, until Ctrl-C
  fakedirty watch --vm web           this one alone
  fakedirty watch | tee log          a line for each round, toggle, verdict and end
  fakedirty watch --json             all that is known, a JSON object a line whenever it has changed

exit status: 0 done; 1 no service answers (fakedirty observe shows one QEMU without it); 2 wrong usage
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments."""
    parser.add_argument("--vm", metavar="NAME", help="this VM alone")
    parser.add_argument("--every", type=float, default=0.5, metavar="SECONDS", help="between two looks; default: 0.5")
    parser.add_argument("--control", type=Path, default=DEFAULT_SOCKET, metavar="SOCKET", help="the service's socket")
    parser.add_argument("--json", action="store_true", help="JSON lines instead of a screen")


def run(arguments: argparse.Namespace) -> int:
    """Look again and again, and show what is new."""
    if arguments.every <= 0:
        raise UsageError("--every is a number of seconds above 0")
    terminal = Terminal()
    with stop_signals() as stop:
        looks = _looks(arguments, stop)
        if arguments.json:
            _say_json(looks)
        elif terminal.is_terminal:
            with Live(console=terminal, screen=True, auto_refresh=False) as live:
                for vms in looks:
                    live.update(screen([watched(vm) for vm in vms], terminal.width, terminal.height), refresh=True)
        else:
            _say_lines(looks, terminal)
    return 0


def _looks(arguments: argparse.Namespace, stop: threading.Event) -> Iterator[list[Mapping[str, Any]]]:
    while not stop.is_set():
        told = ask("status", path=arguments.control, rounds=SHARES_SHOWN)
        yield [vm for vm in told["vms"] if arguments.vm in (None, vm["vm"])]
        stop.wait(arguments.every)


def watched(vm: Mapping[str, Any]) -> Watched:
    """What the service says of a VM."""
    last = vm["last"]
    if not last:
        return Watched(vm["vm"], vm["pid"], vm["level"])
    rounds = [round_of(row) for row in vm["rounds"]]
    return Watched(
        vm=vm["vm"],
        pid=vm["pid"],
        level=vm["level"],
        state="arrived" if last["side"] == "destination" else last["state"],
        migration_id=last["migration_id"],
        running=last["outcome"] == "unfinished",
        valid=last["valid"],
        seconds=rounds[-1].start_seconds + rounds[-1].duration_seconds if rounds else 0.0,
        round_count=last["rounds"],
        rounds=rounds,
        toggles=[_toggle(row) for row in vm["toggles"]],
        verdict=vm["verdict"] or "",
    )


def _toggle(row: Mapping[str, Any]) -> str:
    return toggle_words(row["from_mode"], row["to_mode"], row["hash"], row["seconds"], row["round"])


def _say_json(looks: Iterator[list[Mapping[str, Any]]]) -> None:
    known: object = None
    for vms in looks:
        if vms != known:
            known = vms
            print(json.dumps({"vms": vms}), file=sys.stdout, flush=True)


def _say_lines(looks: Iterator[list[Mapping[str, Any]]], terminal: Terminal) -> None:
    """What is new since the look before, each line with its VM."""
    said: dict[str, set[str]] = {}
    for vms in looks:
        for each in map(watched, vms):
            known = said.setdefault(each.migration_id, set())
            for text in _lines(each):
                if text not in known:
                    known.add(text)
                    terminal.print(f"{each.vm}: {text}", soft_wrap=True, highlight=False, markup=False)


def _lines(of: Watched) -> Iterator[str]:
    if not of.state:
        return
    yield f"migration {of.migration_id}, level {of.level}"
    yield heading(NARROW).plain
    yield from (line(NARROW, r).plain for r in of.rounds)
    yield from (f"-- {toggle}" for toggle in of.toggles)
    if of.verdict and of.running:
        yield of.verdict
    if not of.running:
        yield f"{of.state}{'' if of.valid else ', not valid'}, after {of.round_count} rounds"
