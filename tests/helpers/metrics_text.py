"""The metrics of an exporter as the text that Prometheus scrapes."""

from __future__ import annotations

from fakedirty.export.exporter import Exporter
from fakedirty.export.routes import MetricsText


def exported(exporter: Exporter) -> str:
    """The text in Prometheus' own format; labels are in the order of the alphabet."""
    return MetricsText(exporter).write()[0].decode()
