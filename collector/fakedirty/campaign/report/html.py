"""A report as one HTML file that needs nothing else: it has no script, and loads nothing."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from .content import Content

HERE = Path(__file__).parent
TEMPLATE, STYLE = "report.html", "report.css"


def html(content: Content) -> str:
    """The whole page. Everything that comes from the campaign is text, also if it looks like HTML."""
    return _template().render(content=content, style=(HERE / STYLE).read_text(encoding="utf-8"))


@cache
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template(TEMPLATE)
