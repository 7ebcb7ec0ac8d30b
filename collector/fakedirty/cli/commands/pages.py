"""``fakedirty pages``: an evaluation of page records: hot pages, streaks, RAM blocks, duplicates, a picture of RAM."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fakedirty.cli.figure_file import check_figure, figure_errors
from fakedirty.cli.page_recording import page_recording
from fakedirty.cli.printing import print_json
from fakedirty.record.page_study import PageStudy, study
from fakedirty.show.page_study import page_study_parts
from fakedirty.show.ram_map import draw
from fakedirty.show.terminal import Terminal

NAME = "pages"
HELP = "evaluate page records: hot pages, streaks, RAM blocks, duplicates, a picture of RAM"
EPILOG = """\
examples:
  fakedirty observe --pages --out runs         record every visited page
  fakedirty pages runs                         the one migration in runs that has page records
  fakedirty pages runs/web/20261124T* --hot 50 --json
  fakedirty pages runs --picture ram.png       rounds downwards, RAM across, fake pages in colour

exit status: 0 done; 1 there are no page records; 2 wrong usage
"""

STRETCHES = 512  # of RAM in a picture in a file; on the screen there are as many as fit


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("path", type=Path, metavar="DIR", help="a recorded migration, or a directory with several")
    parser.add_argument("--hot", type=int, default=10, metavar="N", help="how many of the most visited pages to list")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw RAM by round into a PNG or SVG file")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Evaluate the records, and print or draw the result."""
    if arguments.picture is not None:
        check_figure(arguments.picture, "--picture")
    directory = page_recording(arguments.path)
    terminal = Terminal()
    wide = STRETCHES if arguments.picture or arguments.json else max(8, terminal.width - 9)
    found = study(directory, hot=arguments.hot, columns=wide)
    if arguments.picture:
        with figure_errors("--picture", arguments.picture):
            draw(found.picture, arguments.picture)
    if arguments.json:
        print_json(_plain(found))
    else:
        for part in page_study_parts(found, with_picture=not arguments.picture):
            terminal.print(part, highlight=False)
    return 0


def _plain(found: PageStudy) -> dict[str, Any]:
    """Plain data for JSON."""
    plain = asdict(found)
    plain["picture"] = {name: getattr(found.picture, name) for name in ("rounds", "columns", "visits", "fake")}
    for name in ("columns", "visits", "fake"):
        plain["picture"][name] = plain["picture"][name].tolist()
    return plain
