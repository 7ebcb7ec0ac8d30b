"""The status of the service, as ``fakedirty status`` shows it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.table import Table

from fakedirty.format.numbers import UNSEEN

from .compare import VALID

HEADS = ("vm", "pid", "level", "migrations", "last migration", "state", "rounds", "valid")


def status_parts(status: Mapping[str, Any]) -> Iterator[str | Table]:
    """What is printed of a status that the control socket has returned: lines, and the table of VMs."""
    vms = status["vms"]
    head = f"fakedirty {status['version']}, pid {status['pid']}, for {status['up_seconds']:.0f} s"
    yield f"{head}: {len(vms)} QEMUs observed"
    if vms:
        yield _table(vms)
    names = Counter(vm["vm"] for vm in vms)
    for vm in vms:
        if vm["verdict"] and vm["last"]["outcome"] == "unfinished":  # the migration still runs
            name = vm["vm"] if names[vm["vm"]] == 1 else f"{vm['vm']} (pid {vm['pid']})"
            yield ""
            yield f"{name}: {vm['verdict']}"


def _table(vms: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for head in HEADS:
        table.add_column(head, justify="right" if head in ("pid", "migrations", "rounds") else "left")
    for vm in vms:
        last = vm["last"]
        cells = [UNSEEN] * 4
        if last:
            cells = [last["migration_id"], last["state"], str(last["rounds"]), VALID[last["valid"]]]
        table.add_row(vm["vm"], str(vm["pid"]), vm["level"], str(vm["migrations"]), *cells)
    return table
