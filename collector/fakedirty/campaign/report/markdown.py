"""The tables and words of a report in Markdown, for a repository or a mail."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .content import Content, Section
from .tables import ReportTable

#: what Markdown or the HTML in it would take for something else than itself
SPECIAL = re.compile(r"([\\`*_{}\[\]<>&|#~])")


def markdown(content: Content) -> str:
    """The whole report but its figures."""
    return "\n".join(_lines(content)) + "\n"


def _lines(content: Content) -> Iterator[str]:
    yield f"# {plain(content.name)}\n"
    for alarm in content.alarms:
        yield f"**{plain(alarm)}**\n"
    yield from (f"- {plain(words)}" for words in content.summary)
    for section in content.sections:
        yield from _section(section)


def _section(section: Section) -> Iterator[str]:
    yield f"\n{'#' * section.level} {plain(section.title)}\n"
    for words in section.words:
        yield f"{plain(words)}\n"
    for drawing in section.drawings:
        yield f"- {plain(drawing.alt)}"
    for sheet in section.sheets:
        yield f"\n**{plain(sheet.title)}**\n"
        yield from _table(sheet)


def _table(sheet: ReportTable) -> Iterator[str]:
    yield _row(sheet.heads)
    yield _row(["---" if place < sheet.words else "---:" for place in range(len(sheet.heads))])
    yield from (_row([plain(cell) for cell in row]) for row in sheet.rows)


def _row(cells: tuple[str, ...] | list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def plain(text: str) -> str:
    """Text that stays what it is: one line, with nothing in it that means something to Markdown."""
    return SPECIAL.sub(r"\\\1", " ".join(text.split()))
