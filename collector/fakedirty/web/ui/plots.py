"""The plots, made with Bokeh and without data: the page fills their sources, by name, as rounds end."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from typing import Any

from fakedirty.format.palette import PALETTES, PATTERNS, Palette

from .downtime_document import LANES

CLASSES = {"first": "first", "changed": "changed", "fake": "fake", "unclassified": "not classified"}
SUMS = {"sent": ("sent", "solid"), "saved": ("saved by skip", "dashed")}
HEIGHT = 280
PATIENCE_SECONDS = 60.0
FONT = "12px"


@cache
def plots(theme: str) -> bytes:
    """All plots as JSON for BokehJS, by name.

    Another process makes them, once: Bokeh takes a second and 25 MB, for which other requests must not wait.

    Raises:
        KeyError: if there is no such theme.
    """
    if theme not in PALETTES:
        raise KeyError(theme)
    command = [sys.executable, "-P", "-m", __name__]  # -P: from nowhere but where this process has it from
    made = subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=PATIENCE_SECONDS)
    return json.dumps(json.loads(made.stdout)[theme]).encode()


def make(colours: Palette) -> dict[str, Any]:
    """All plots in these colours."""
    from bokeh.embed import json_item

    made = {"pages": _pages(colours), "bytes": _bytes(colours), "ram": _ram(colours), "downtime": _downtime(colours)}
    return {name: json_item(plot) for name, plot in made.items()}


def _pages(colours: Palette) -> Any:
    """Pages of each round by class, stacked, over time."""
    from bokeh.models import ColumnDataSource, HoverTool

    plot = _empty(colours, "seconds since the start", "pages visited in a round")
    ends = [f"{name}_{end}" for name in CLASSES for end in ("bottom", "top")]
    source = ColumnDataSource({name: [0] for name in ("left", "right", "text", *ends)}, name="rounds")
    for name, title in CLASSES.items():
        colour = getattr(colours, name)
        plot.quad(
            left="left", right="right", bottom=f"{name}_bottom", top=f"{name}_top", source=source,
            fill_color=colour, line_color=colour, legend_label=title,
            hatch_pattern=PATTERNS[name], hatch_color=colours.ground, hatch_alpha=0.7, hatch_scale=8, hatch_weight=1.5,
        )  # fmt: skip
    plot.add_tools(HoverTool(tooltips=None))  # the page shows it, as text
    plot.legend.items[-1].name = "unclassified in legend"  # shown only if there are such pages
    return _finished(plot, colours)


def _bytes(colours: Palette) -> Any:
    """Bytes sent, and bytes saved by skip, up to a moment."""
    from bokeh.models import ColumnDataSource

    plot = _empty(colours, "seconds since the start", "MB, up to then")
    source = ColumnDataSource({name: [0] for name in ("seconds", *SUMS)}, name="sums")
    for name, (title, dash) in SUMS.items():
        plot.line(
            "seconds", name, source=source, line_color=getattr(colours, name), line_dash=dash, line_width=3,
            legend_label=title,
        )  # fmt: skip
    return _finished(plot, colours)


def _downtime(colours: Palette) -> Any:
    """The parts of the downtime, those of the source above those of the destination."""
    from bokeh.models import ColumnDataSource, HoverTool
    from bokeh.transform import factor_cmap

    plot = _empty(colours, "ms since the stop of the guest", "", y_range=LANES)
    source = ColumnDataSource({name: [] for name in ("lane", "left", "right", "text")}, name="downtime")
    fill = factor_cmap("lane", [colours.saved, colours.unclassified, colours.sent], LANES)
    plot.hbar(
        y="lane", left="left", right="right", height=0.7, source=source, fill_color=fill, line_color=colours.ground
    )
    plot.add_tools(HoverTool(tooltips=None))
    plot.x_range.start = 0
    return plot


def _ram(colours: Palette) -> Any:
    """RAM by round: a row for each, the share of fake pages as a shade."""
    from bokeh.models import (
        BasicTicker,
        ColorBar,
        ColumnDataSource,
        FixedTicker,
        HoverTool,
        LinearColorMapper,
        NumeralTickFormatter,
        Range1d,
    )
    from bokeh.palettes import cividis

    plot = _empty(colours, "page, RAM blocks side by side", "round")
    # cividis can be read by all eyes, and in grey
    shades = LinearColorMapper(palette=cividis(64), low=0, high=100, nan_color=colours.unvisited)
    source = ColumnDataSource({name: [] for name in ("image", "x", "y", "dw", "dh")}, name="ram")
    plot.image("image", "x", "y", "dw", "dh", source=source, color_mapper=shades)
    plot.x_range, plot.y_range = Range1d(0, 1, name="stretches"), Range1d(2, 1, name="ram rounds")
    plot.grid.visible = False
    plot.add_tools(HoverTool(tooltips=None))
    plot.xaxis.formatter, plot.xaxis.ticker = NumeralTickFormatter(format="0.[0]a"), BasicTicker(desired_num_ticks=5)
    plot.yaxis.ticker = BasicTicker(min_interval=1)
    bar = ColorBar(
        color_mapper=shades, height=10, title="% fake of the pages visited", background_fill_color=None,
        title_text_color=colours.text, major_label_text_color=colours.text, title_text_font_size=FONT,
        title_text_font_style="normal", major_label_text_font_size=FONT, ticker=FixedTicker(ticks=[0, 25, 50, 75, 100]),
    )  # fmt: skip
    plot.add_layout(bar, "above")
    return plot


def _empty(colours: Palette, across: str, upwards: str, **ranges: Any) -> Any:
    from bokeh.plotting import figure

    plot = figure(
        height=HEIGHT, sizing_mode="stretch_width", toolbar_location=None, tools="", x_axis_label=across,
        y_axis_label=upwards, background_fill_color=colours.ground, border_fill_color=colours.ground,
        outline_line_color=colours.grid, **ranges,
    )  # fmt: skip
    plot.grid.grid_line_color = colours.grid
    for axis in plot.axis:
        axis.axis_label_text_color = axis.major_label_text_color = axis.axis_line_color = colours.text
        axis.major_tick_line_color, axis.minor_tick_line_color = colours.text, None
        axis.axis_label_text_font_style, axis.axis_label_text_font_size = "normal", FONT
        axis.major_label_text_font_size = FONT
    return plot


def _finished(plot: Any, colours: Palette) -> Any:
    """The plot with marks of what happened, the legend above, and whole numbers from 0 on."""
    from bokeh.models import ColumnDataSource, LabelSet, NumeralTickFormatter

    source = ColumnDataSource({"seconds": [], "word": []}, name="marks")
    plot.vspan("seconds", source=source, line_color=colours.mark, line_dash="dotted", line_width=2)
    plot.add_layout(
        LabelSet(
            x="seconds",
            y=4,
            y_units="screen",
            text="word",
            source=source,
            angle=1.5707963,
            x_offset=16,
            text_color=colours.mark,
            text_font_size=FONT,
            text_font_style="bold",
            background_fill_color=colours.ground,
            background_fill_alpha=0.85,
        )
    )
    plot.y_range.start = 0
    plot.yaxis.formatter = NumeralTickFormatter(format="0,0")
    legend = plot.legend[0]
    legend.orientation, legend.padding, legend.spacing = "horizontal", 2, 12
    legend.label_text_font_size, legend.label_text_color = FONT, colours.text
    legend.background_fill_alpha, legend.border_line_color = 0, None
    legend.glyph_width = legend.glyph_height = 18
    plot.add_layout(legend, "above")
    return plot


if __name__ == "__main__":
    print(json.dumps({theme: make(colours) for theme, colours in PALETTES.items()}))
