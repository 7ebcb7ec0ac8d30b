"""The result of ``fakedirty what-if`` for a person: the recorded migration, its variants, and what was assumed."""

from __future__ import annotations

from collections.abc import Callable

from rich.table import Table
from rich.text import Text

from fakedirty.format.numbers import UNSEEN, seconds, size
from fakedirty.model.forecast import Estimate
from fakedirty.whatif.prediction import RecordedEnd, VariantPrediction, WhatIf
from fakedirty.whatif.variants import Variant

RECORDED, PLAYED = "recorded", "the same, played"
OPEN = "?"  # an estimate has no upper end


def what_if_parts(found: WhatIf) -> list[Table | Text]:
    """The parts of the report: a table, and the assumptions."""
    recorded = found.recorded
    table = Table(
        title=f"{recorded.vm} {recorded.migration_id}: {recorded.outcome}", title_justify="left", title_style="bold"
    )
    for head in ("settings", "total s", "downtime ms", "sent"):
        table.add_column(head, justify="left" if head == "settings" else "right")
    table.add_row(RECORDED, *_recorded(recorded), end_section=True)
    table.add_row(PLAYED, *_predicted(found.played))
    for each in found.variants:
        table.add_row(settings_text(each.variant), *_predicted(each))
    return [table, Text("assumed:"), *(Text(f"- {each}") for each in found.assumptions)]


def settings_text(variant: Variant) -> str:
    """The settings that are not those of the recording."""
    cache = variant.xbzrle_cache
    words = {
        "bandwidth": "" if variant.bandwidth is None else f"{size(variant.bandwidth)}/s",
        "limit_seconds": f"limit {variant.limit_seconds * 1e3:g} ms",
        "skips": "skip" if all(variant.skips) else "off",
        "xbzrle_cache": f"XBZRLE {cache / 1024**2:g} MiB" if cache else "no XBZRLE",
        "throttle": f"throttle {variant.throttle * 100:g}%",
    }
    return ", ".join(words[name] for name in variant.given)


def end_text(prediction: VariantPrediction) -> str:
    """Where there is no end; empty where there is one."""
    if prediction.converges:
        return ""
    return "no end" if prediction.certain else "probably no end"


def _recorded(end: RecordedEnd) -> tuple[str, str, str]:
    down = end.downtime_seconds
    return seconds(end.total_seconds), UNSEEN if down is None else f"{down * 1e3:.0f}", size(end.sent_bytes)


def _predicted(prediction: VariantPrediction) -> tuple[str, str, str]:
    total, down, sent = prediction.total_seconds, prediction.downtime_seconds, prediction.sent_bytes
    if total is None or down is None or sent is None:
        return end_text(prediction), UNSEEN, UNSEEN
    return (
        _range(total, lambda value: f"{value:.2f}"),
        _range(down, lambda value: f"{value * 1e3:.0f}"),
        _range(sent, size),
    )


def _range(estimate: Estimate, text: Callable[[float], str]) -> str:
    high = OPEN if estimate.high is None else text(estimate.high)
    return f"{text(estimate.expected)} ({text(estimate.low)} to {high})"
