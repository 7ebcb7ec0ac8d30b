"""``docs/metrics.md`` from the table of metrics: ``python -m fakedirty.export.dictionary``."""

from __future__ import annotations

from fakedirty.web.serve import DEFAULT_HOST, DEFAULT_PORT

from .host import HOST
from .metrics import METRICS
from .retained_vms import DEPARTED_VMS, KEPT, VMS_WITH_ROUNDS
from .tracked_migration import ROUNDS_SHOWN

HEAD = f"""# Metrics

Made from `fakedirty.export.metrics` by `python -m fakedirty.export.dictionary`; a test holds the two together.

`fakedirty observe --listen HOST:PORT` serves them at `/metrics`; port {DEFAULT_PORT} on {DEFAULT_HOST} is what the
provisioned Prometheus scrapes. Counters add up over the migrations of a VM for as long as the exporter runs;
gauges are of its last migration. A value that the level of observation cannot see is not exported, never 0.
Pages that multifd's channels count after the last round of a migration are visited pages, and have no disposition.

Types are those of OpenMetrics; in Prometheus' own format an info or a state set is a gauge. Exemplars of histograms
name the migration that was last in a bucket.

The number of series is bounded. The last {ROUNDS_SHOWN} rounds of a VM's last migration have series of their own, of
the {VMS_WITH_ROUNDS} VMs that migrate or did last; `fakedirty_rounds_not_shown` counts the others, and the sums have
all. A VM that is no longer observed keeps its series for {KEPT.total_seconds() / 3600:g} hour after the end of its last
migration, and of more than {DEPARTED_VMS} such VMs the oldest are dropped before; `fakedirty_vms_dropped_total` counts
those that were.

Counters are of a guest, and never of a name: a guest is the processes that have the same UUID (`-uuid`) and name, or,
without a UUID, one process, and those of its name that come when it has gone. The label `vm` is the name (`-name`), or
`pid-N` without one, and stays as it is for as long as there are series. Where another guest has that label already, it
is `NAME (pid N)`: the one that was there first keeps the name, also while others come and go. So a guest that is
migrated back and forth, or started again, goes on counting under its name, and two that run at the same time under one
name are never added up, nor does a counter fall because of the other. Bytes of a name that are not UTF-8 are shown as
`\\xff`. `fakedirty_qemu_info` has the label beside the process id.

A verdict that did not come true is withdrawn: `fakedirty_verdict_refuted` is 1 then, and what had been predicted is not
exported ([verdict.md](verdict.md)).

Ratios are two counters. The share of fake pages among those that were classified:

    sum by (vm) (increase(fakedirty_pages_total{{class="fake"}}[5m]))
      / sum by (vm) (increase(fakedirty_pages_total[5m]))

| metric | type | labels | meaning |
| --- | --- | --- | --- |
"""


def dictionary() -> str:
    """The whole document."""
    rows = [(metric.name, metric.type, ("vm", *metric.labels), metric.help) for metric in METRICS]
    rows += [(metric.name, metric.type, metric.labels, metric.help) for metric in HOST]
    lines = [
        f"| `{name}` | {kind} | {', '.join(f'`{label}`' for label in names)} | {text} |"
        for name, kind, names, text in rows
    ]
    return HEAD + "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(dictionary(), end="")
