"""A report in Markdown, without its charts: for a repository or a mail."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .content import Content, Section
from .tables import ReportTable

#: characters that mean something to Markdown, or to the HTML in it
SPECIAL = re.compile(r"([\\`*_{}\[\]<>&|#~])")


def markdown(content: Content) -> str:
    """The whole report. A chart is represented by the text that describes it."""
    return "\n".join(_lines(content)) + "\n"


def _lines(content: Content) -> Iterator[str]:
    yield f"# {plain(content.name)}\n"
    for alarm in content.alarms:
        yield f"**{plain(alarm)}**\n"
    yield from (f"- {plain(sentence)}" for sentence in content.summary)
    for section in content.sections:
        yield from _section(section)


def _section(section: Section) -> Iterator[str]:
    yield f"\n{'#' * section.level} {plain(section.title)}\n"
    for paragraph in section.paragraphs:
        yield f"{plain(paragraph)}\n"
    for drawing in section.drawings:
        yield f"- {plain(drawing.alt)}"
    for table in section.tables:
        yield f"\n**{plain(table.title)}**\n"
        yield from _table(table)


def _table(table: ReportTable) -> Iterator[str]:
    yield _row(table.heads)
    yield _row(["---" if place < table.text_columns else "---:" for place in range(len(table.heads))])
    yield from (_row([plain(cell) for cell in row]) for row in table.rows)


def _row(cells: tuple[str, ...] | list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def plain(text: str) -> str:
    """Text as one line, with everything escaped that means something to Markdown."""
    return SPECIAL.sub(r"\\\1", " ".join(text.split()))
