"""``fakedirty what-if``: a recorded migration played again, page by page, with other settings."""

from __future__ import annotations

import argparse
import math
from dataclasses import asdict
from pathlib import Path

from fakedirty.cli.figure_file import check_figure, figure_errors
from fakedirty.cli.page_recording import page_recording
from fakedirty.cli.printing import print_json
from fakedirty.cli.quantities import BANDWIDTHS, SHARES, SIZES, TIMES, parser_of
from fakedirty.show.terminal import Terminal
from fakedirty.show.what_if import what_if_parts
from fakedirty.show.what_if_figure import draw
from fakedirty.whatif.prediction import what_if
from fakedirty.whatif.variants import Choices

NAME = "what-if"
HELP = "play a recorded migration again with other settings: bandwidth, downtime limit, mode"
EPILOG = """\
examples:
  fakedirty observe --pages --out runs         record every visited page
  fakedirty what-if runs --bandwidth 60MB/s --bandwidth 250MB/s
  fakedirty what-if runs/web/20261124T* --mode off --mode skip --downtime-limit 100ms --downtime-limit 300ms
  fakedirty what-if runs --xbzrle-cache 64MiB --throttle 40% --out figure.svg
  fakedirty what-if runs --mode skip --json

What is not given stays as it was recorded. Of options that are given several times, every combination is played.

exit status: 0 done; 1 the recording does not show enough; 2 wrong usage
"""

MODES = ("off", "skip")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "path",
        type=Path,
        metavar="RECORDING",
        help="a recorded migration, or a directory with one that has page records",
    )
    for option, units, example, text in (
        ("--bandwidth", BANDWIDTHS, "60MB/s", "what the link carries"),
        ("--downtime-limit", TIMES, "100ms", "how long the guest may be stopped"),
        ("--xbzrle-cache", SIZES, "64MiB", "XBZRLE with a cache of this size; 0B for none"),
        ("--throttle", SHARES, "40%", "the share of its time that the guest is kept from running"),
    ):
        parser.add_argument(
            option,
            action="append",
            default=[],
            type=parser_of(units, example),
            metavar=option.strip("-").upper(),
            help=f"{text}, such as {example.replace('%', '%%')}",
        )
    parser.add_argument("--mode", action="append", default=[], choices=MODES, help="the mode from the first round on")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--out", type=Path, metavar="FILE", help="draw a figure into an SVG or PNG file")


def run(arguments: argparse.Namespace) -> int:
    """Play the variants, and print or draw the result."""
    if arguments.out is not None:
        check_figure(arguments.out, "--out")
    choices = Choices(
        bandwidths=arguments.bandwidth,
        limits=arguments.downtime_limit,
        modes=[mode == "skip" for mode in arguments.mode],
        caches=[math.ceil(size) for size in arguments.xbzrle_cache],
        throttles=arguments.throttle,
    )
    found = what_if(page_recording(arguments.path), choices)
    if arguments.out is not None:
        with figure_errors("--out", arguments.out):
            draw(found, arguments.out)
    if arguments.json:
        print_json(asdict(found))
    else:
        terminal = Terminal()
        for part in what_if_parts(found):
            terminal.print(part, highlight=False)
    return 0
