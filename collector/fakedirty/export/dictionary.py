"""``docs/metrics.md`` from the tables of metrics: ``python -m fakedirty.export.dictionary``."""

from __future__ import annotations

from fakedirty.web.address import DEFAULT_HOST, DEFAULT_PORT

from .host import HOST
from .metrics import METRICS
from .retained_vms import DEPARTED_VMS, KEPT, VMS_WITH_ROUNDS
from .tracked_migration import ROUNDS_SHOWN

HOURS = KEPT.total_seconds() / 3600

HEAD = f"""# Metrics

Made from `fakedirty.export.metrics` by `python -m fakedirty.export.dictionary`; a test compares the two.

`fakedirty observe --listen HOST:PORT` serves the metrics at `/metrics`. The provisioned Prometheus scrapes port
{DEFAULT_PORT} on {DEFAULT_HOST}. Counters add up over the migrations of a VM for as long as the exporter runs; gauges
are of its last migration. A value that the level of observation cannot see is not exported, and never 0. Pages that
the channels of multifd count after the last round of a migration are visited pages and have no disposition.

Types are those of OpenMetrics; in Prometheus' own format an info or a state set is a gauge. The exemplar of a
histogram's bucket names the migration that was last in it.

## How many series

The number of series is bounded:

- The last {ROUNDS_SHOWN} rounds of a VM's last migration have series of their own. Only {VMS_WITH_ROUNDS} VMs have such
  series: those that migrate, then those that migrated last. `metrics.vms_with_rounds` in the configuration sets another
  number, down to 0. `fakedirty_rounds_not_shown` counts the rounds without series; the counters have all rounds.
- A VM that is no longer observed keeps its series for {HOURS:g} hour after the end of its last migration. Of more than
  {DEPARTED_VMS} such VMs, the oldest are dropped earlier. `fakedirty_vms_dropped_total` counts dropped VMs.

## Which VM

A counter belongs to a guest, never to a name. Processes with the same UUID (`-uuid`) and name are one guest. Without a
UUID, a guest is one process, and then the processes of its name that come after it has gone. The label `vm` is the name
(`-name`), or `pid-N` without one, and stays as it is for as long as there are series. If another guest has that label
already, the label is `NAME (pid N)`; the guest that was there first keeps the name. Therefore a guest that is migrated
back and forth, or started again, goes on counting under its name, and two guests that run at the same time under one
name are never added up. Bytes of a name that are not UTF-8 are shown as `\\xff`. `fakedirty_qemu_info` has the label
beside the process id.

If a verdict did not come true, it is withdrawn: `fakedirty_verdict_refuted` is 1 then, and its predictions and
recommendations are not exported ([verdict.md](verdict.md)).

## Ratios

A ratio is two counters. The share of fake pages among the classified pages is:

    sum by (vm) (increase(fakedirty_pages_total{{class="fake"}}[5m]))
      / sum by (vm) (increase(fakedirty_pages_total[5m]))

## Table

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
