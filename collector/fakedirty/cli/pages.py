"""``fakedirty pages``: what page records tell: hot pages, streaks, RAM blocks, duplicates, a picture of RAM."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from fakedirty.errors import MissingError, UsageError
from fakedirty.record.load import load
from fakedirty.record.output_checks import check_file
from fakedirty.record.page_study import PageStudy, Picture, study
from fakedirty.record.pages import pages_of
from fakedirty.show.ram_map import draw, text_rows
from fakedirty.show.terminal import Terminal

from .printing import print_json

NAME = "pages"
HELP = "say what page records tell: hot pages, streaks, RAM blocks, duplicates, a picture of RAM"
EPILOG = """\
examples:
  fakedirty observe --pages --out runs         record every visited page
  fakedirty pages runs                         of the one migration in runs that has page records
  fakedirty pages runs/web/20261124T* --hot 50 --json
  fakedirty pages runs --picture ram.png       rounds downwards, RAM across, fake pages in colour

exit status: 0 done; 1 there are no page records; 2 wrong usage
"""

STRETCHES = 512  # of the picture in a file; on the screen they are as many as fit


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments."""
    parser.add_argument("path", type=Path, metavar="DIR", help="what `--out` wrote: a migration, or all of a directory")
    parser.add_argument("--hot", type=int, default=10, metavar="N", help="how many of the most visited pages to name")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw RAM by round into a PNG or SVG file")
    parser.add_argument("--json", action="store_true", help="say it in JSON")


def run(arguments: argparse.Namespace) -> int:
    """Read, count, say."""
    if arguments.picture is not None:
        check_file(arguments.picture, "--picture")
    directory = _directory(arguments.path)
    terminal = Terminal()
    wide = STRETCHES if arguments.picture or arguments.json else max(8, terminal.width - 9)
    found = study(directory, hot=arguments.hot, columns=wide)
    if arguments.picture:
        try:
            draw(found.picture, arguments.picture)
        except ModuleNotFoundError as error:
            raise MissingError(f"--picture needs the Python module {error.name}, which is not installed") from error
        except (OSError, ValueError) as error:
            raise UsageError(f"cannot draw {arguments.picture}: {error}") from error
    if arguments.json:
        print_json(_plain(found))
    else:
        for part in report(found, with_picture=not arguments.picture):
            terminal.print(part, highlight=False)
    return 0


def _directory(path: Path) -> Path:
    """The one migration that is meant; UsageError names them where several have page records."""
    directories = load(path).directories
    having = [directory for directory in directories if pages_of(directory) is not None]
    if len(having) > 1:
        raise UsageError(f"{len(having)} migrations in {path} have page records; name one: {_listed(having)}")
    return (having or directories)[0]


def _listed(directories: Sequence[Path]) -> str:
    shown = [str(directory) for directory in directories[:5]]
    return ", ".join(shown) + (" …" if len(directories) > 5 else "")


def _plain(found: PageStudy) -> dict[str, Any]:
    plain = asdict(found)
    plain["picture"] = {name: getattr(found.picture, name) for name in ("rounds", "columns", "visits", "fake")}
    for name in ("columns", "visits", "fake"):
        plain["picture"][name] = plain["picture"][name].tolist()
    return plain


def report(found: PageStudy, *, with_picture: bool) -> list[Table | Text]:
    """The parts for a person."""
    parts: list[Table | Text] = [_blocks(found), _hot(found), _streaks(found), _duplicates(found)]
    if with_picture:
        parts.append(
            Text("RAM by round, blocks side by side: ' ' not visited, '.' none of it fake, up to '@' all fake")
        )
        parts += _picture(found.picture)
    return parts


def _table(title: str, *heads: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    for number, head in enumerate(heads):
        table.add_column(head, justify="right" if number else "left", overflow="fold")
    return table


def _blocks(found: PageStudy) -> Table:
    table = _table("RAM blocks", "block", "pages", "visits", "fake", "share", "skipped")
    for block in found.blocks:
        share = f"{block.fake / block.visits:.1%}" if block.visits else "-"
        figures = (f"{number:,}" for number in (block.pages, block.visits, block.fake))
        table.add_row(block.block, *figures, share, f"{block.skipped:,}")
    return table


def _hot(found: PageStudy) -> Table:
    table = _table("most visited pages", "block", "page", "visits", "fake", "longest streak")
    for page in found.hot:
        table.add_row(page.block, f"{page.page:#x}", str(page.visits), str(page.fake), str(page.longest_streak))
    return table


def _streaks(found: PageStudy) -> Text:
    shown = {k: count for k, count in found.streaks.items() if k & (k - 1) == 0}
    text = ", ".join(f"{count:,} in {k} or more" for k, count in shown.items())
    return Text(f"pages that were fake in rounds running: {text or 'none'}")


def _duplicates(found: PageStudy) -> Text:
    of = found.duplicates
    if not of.pages:
        return Text("of the first round no page was sent in full")
    return Text(
        f"of {of.pages:,} pages sent in full in the first round, {of.equal:,} ({of.equal / of.pages:.1%}) hold what "
        f"another of them holds; deduplication could have saved {of.pages - of.distinct:,} at most"
    )


def _picture(picture: Picture) -> list[Table | Text]:
    rows = text_rows(picture.visits, picture.fake)
    return [Text(f"{number:7} {row}") for number, row in zip(picture.rounds, rows, strict=True)]
