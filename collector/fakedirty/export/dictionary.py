"""``docs/metrics.md`` from the table of metrics: ``python -m fakedirty.export.dictionary``."""

from __future__ import annotations

from .metrics import BUILD_INFO, METRICS
from .serve import DEFAULT_HOST, DEFAULT_PORT

HEAD = f"""# Metrics

Made from `fakedirty.export.metrics` by `python -m fakedirty.export.dictionary`; a test holds the two together.

`fakedirty observe --listen HOST:PORT` serves them at `/metrics`; port {DEFAULT_PORT} on {DEFAULT_HOST} is what the
provisioned Prometheus scrapes. Counters add up over the migrations of a VM for as long as the exporter runs;
gauges are of its last migration. A value that the level of observation cannot see is not exported, never 0.

Ratios are two counters. The share of fake pages among those that were classified:

    sum by (vm) (increase(fakedirty_pages_total{{class="fake"}}[5m]))
      / sum by (vm) (increase(fakedirty_pages_total[5m]))

| metric | type | labels | meaning |
| --- | --- | --- | --- |
"""


def dictionary() -> str:
    """The whole document."""
    name, labels, text, _ = BUILD_INFO
    rows = [(metric.name, metric.type, ("vm", *metric.labels), metric.help) for metric in METRICS]
    rows.append((name, "gauge", labels, text))
    lines = [
        f"| `{name}` | {kind} | {', '.join(f'`{label}`' for label in names)} | {text} |"
        for name, kind, names, text in rows
    ]
    return HEAD + "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(dictionary(), end="")
