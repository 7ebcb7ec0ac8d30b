"""The status of the service, as ``fakedirty status`` shows it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.table import Table

from fakedirty.format.numbers import UNSEEN
from fakedirty.format.progress import dirty_rate_words, percent, progress_words, stall_words
from fakedirty.record.standing import progress_of, stretch_of

from .compare import VALID

HEADS = ("vm", "pid", "level", "migrations", "last migration", "state", "rounds", "valid")


def status_parts(status: Mapping[str, Any], now: float) -> Iterator[str | Table]:
    """What is printed of a status that the control socket has returned: lines, and the table of VMs.

    Args:
        status: the status.
        now: seconds since 1970.
    """
    vms = status["vms"]
    head = f"fakedirty {status['version']}, pid {status['pid']}, for {status['up_seconds']:.0f} s"
    yield f"{head}: {len(vms)} QEMUs observed"
    if vms:
        yield _table(vms)
    names = Counter(vm["vm"] for vm in vms)
    for vm in vms:
        if vm["last"] is None or vm["last"]["outcome"] != "unfinished":  # no migration runs
            continue
        name = vm["vm"] if names[vm["vm"]] == 1 else f"{vm['vm']} (pid {vm['pid']})"
        for words in filter(None, (vm["verdict"], *_standing(vm, now))):
            yield ""
            yield f"{name}: {words}"


def _standing(vm: Mapping[str, Any], now: float) -> Iterator[str]:
    """How far its migration has come and what its guest dirties; and its stall. An older service reports none of it."""
    if "progress" not in vm:
        return
    progress = progress_of(vm["progress"], datetime.fromisoformat(vm["last"]["started_at"]).timestamp(), now)
    share = "" if progress.ratio is None else percent(progress.ratio)
    rate = "" if vm["dirty_rate"] is None else f"the guest dirties {dirty_rate_words(vm['dirty_rate']['pages'])}"
    yield ", ".join(filter(None, (share, progress_words(progress), rate)))
    yield stall_words(stretch_of(vm["stall"]))


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
