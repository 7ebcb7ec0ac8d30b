"""The report of ``fakedirty pages`` for a person: tables of blocks and pages, and a picture of RAM."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from fakedirty.record.page_study import PageStudy, Picture

from .ram_map import text_rows


def page_study_parts(found: PageStudy, *, with_picture: bool) -> list[Table | Text]:
    """The parts of the report.

    Args:
        found: The evaluation of page records.
        with_picture: Draw the picture of RAM in characters, too.
    """
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
        counts = (f"{number:,}" for number in (block.pages, block.visits, block.fake))
        table.add_row(block.block, *counts, share, f"{block.skipped:,}")
    return table


def _hot(found: PageStudy) -> Table:
    table = _table("most visited pages", "block", "page", "visits", "fake", "longest streak")
    for page in found.hot:
        table.add_row(page.block, f"{page.page:#x}", str(page.visits), str(page.fake), str(page.longest_streak))
    return table


def _streaks(found: PageStudy) -> Text:
    shown = {k: count for k, count in found.streaks.items() if k & (k - 1) == 0}
    text = ", ".join(f"{count:,} in {k} or more" for k, count in shown.items())
    return Text(f"pages that were fake in consecutive rounds: {text or 'none'}")


def _duplicates(found: PageStudy) -> Text:
    of = found.duplicates
    if not of.pages:
        return Text("no page of the first round was sent in full")
    return Text(
        f"of {of.pages:,} pages sent in full in the first round, {of.equal:,} ({of.equal / of.pages:.1%}) have the "
        f"same content as another of them; deduplication could have saved {of.pages - of.distinct:,} at most"
    )


def _picture(picture: Picture) -> list[Table | Text]:
    rows = text_rows(picture.visits, picture.fake)
    return [Text(f"{number:7} {row}") for number, row in zip(picture.rounds, rows, strict=True)]
