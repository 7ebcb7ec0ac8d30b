"""A campaign from its preparation to its last run."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fakedirty.errors import LabError, QmpError, TargetError, UsageError
from fakedirty.lab.qemu import qemu_facts
from fakedirty.model.enums import Level
from fakedirty.record.durable import write_json, write_lines
from fakedirty.record.manifest import versions
from fakedirty.record.recorder import Recorder

from .columns import SERVICE as SERVICE_COLUMNS
from .plan import PlannedRun, plan
from .preflight import check_accelerator, check_links, check_memory
from .run import RunContext, measure
from .run_measurements import RunResult
from .run_row import row_of
from .spec import CampaignFile, parse
from .store import EXPERIMENT, SERVICE, Row, Store, write_row
from .supported import UnsupportedTreatment, is_patched, left_out
from .treatments import ARMS

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True, slots=True)
class PreparedCampaign:
    """A campaign that can begin.

    Attributes:
        context: what its runs have in common.
        runs: all runs, in the order that was drawn.
        left_out: the treatments that QEMU refuses.
    """

    context: RunContext
    runs: list[PlannedRun]
    left_out: list[UnsupportedTreatment]


def prepare(file: CampaignFile, qemu: Path) -> PreparedCampaign:
    """Check the host, find out which treatments QEMU takes, and draw the order.

    Raises:
        FakedirtyError: the host cannot run this campaign, or QEMU takes none of its treatments.
    """
    spec = file.spec
    check_memory(spec)
    check_accelerator(file, qemu)
    patched = is_patched(qemu, Level(Level.parse(spec.level)))
    refused = left_out(qemu, spec, [ARMS[name] for name in spec.factors.treatment])
    names = {each.treatment for each in refused}
    treatments = [name for name in spec.factors.treatment if name not in names]
    if not treatments:
        reasons = (f"{each.treatment}: {each.reason}" for each in refused)
        raise LabError("QEMU refuses every treatment of the campaign:", *reasons)
    return PreparedCampaign(RunContext(file, qemu, patched), plan(spec, treatments), refused)


def begin(prepared: PreparedCampaign, path: Path, out: Path) -> Store:
    """Write the plan down.

    Args:
        prepared: the campaign.
        path: its file.
        out: the directory that it is kept in.

    Raises:
        UsageError: `out` has a campaign already.
        LabError: this kernel, or this user, can make no such link.
    """
    context = prepared.context
    spec = context.file.spec
    check_links(spec)
    facts: Row = {
        "name": spec.name,
        "seed": spec.seed,
        "created_at": datetime.now(UTC).isoformat(),
        "versions": versions(),
        "qemu": qemu_facts(context.qemu),
        "patched": context.patched,
    }
    return Store.create(out, path, context.file.text, runs=prepared.runs, left_out=prepared.left_out, facts=facts)


def reopen(directory: Path) -> tuple[Store, RunContext]:
    """Open a campaign to go on with it.

    Raises:
        UsageError: `directory` has no campaign, or its file or its QEMU has changed.
    """
    store = Store.open(directory)
    store.check_unchanged()
    facts: dict[str, Any] = store.facts["qemu"]
    qemu = Path(facts["binary"])
    if (now := qemu_facts(qemu)) != facts:
        raise UsageError(f"{qemu} is not the QEMU that the campaign was begun with: it was {facts}, it is {now}")
    file = parse(store.text)
    check_memory(file.spec)
    check_accelerator(file, qemu)
    check_links(file.spec)
    return store, RunContext(file, qemu, bool(store.facts["patched"]))


def carry_out(
    store: Store, context: RunContext, starting: Callable[[PlannedRun], object] = lambda run: None
) -> Iterator[Row]:
    """Make the runs that are missing, in their order.

    Args:
        store: the campaign.
        context: what its runs have in common.
        starting: called before each run.

    Yields:
        The row of each run, as soon as the run is whole. A run that fails is kept with its reason.

    Raises:
        RecordError: the disk is full. What was whole is kept, as it is after an interrupt.
        UsageError: another process is running this campaign.
    """
    with store.exclusive():
        for planned in store.runs:
            if store.is_done(planned.run):
                continue
            starting(planned)
            with store.writing(planned.run) as directory:
                row = _one(planned, context, store, directory)
                write_row(directory, row)
            yield row


def _one(planned: PlannedRun, context: RunContext, store: Store, directory: Path) -> Row:
    """One run, recorded in `directory`."""
    spec = context.file.spec
    started_at, begin = datetime.now(UTC), time.monotonic()
    result = RunResult()
    facts = {"campaign": spec.name, "run": planned.run, "treatment": planned.treatment, "qemu": store.facts["qemu"]}
    recorder = Recorder(directory, f"{spec.name}-{planned.run}", facts)
    error = ""
    try:
        measure(planned, context, [recorder], result)
    except (LabError, QmpError, TargetError) as caught:
        error = str(caught)
    except OSError as caught:  # of a process that has ended meanwhile
        if caught.errno in DISK_FULL:
            raise
        error = str(caught)
    if recorder.failure is not None:
        raise recorder.failure.__cause__ or recorder.failure  # the OSError: the store says what to do about it
    row = row_of(planned, spec, result, started_at=started_at, wall_seconds=time.monotonic() - begin, error=error)
    _write_service(directory / SERVICE, planned.run, result)
    experiment = {
        "schema_version": 1,
        "run": planned.run,
        "seed": spec.seed,
        "started_at": started_at.isoformat(),
        "clock": {"name": "CLOCK_MONOTONIC", "start_seconds": result.started, "end_seconds": result.ended},
        "versions": versions(),
        "qemu": store.facts["qemu"],
        "settings": spec.model_dump(exclude={"factors", "workloads", "toggles"}),
        "toggles": result.toggles,
        "memory": None if result.memory is None else str(result.memory),
        **result.facts,
    }
    write_json(directory / EXPERIMENT, experiment)
    return row


def _write_service(path: Path, run: str, result: RunResult) -> None:
    rows = [
        (
            run,
            each.side,
            each.time - result.started,
            each.sample.operations_per_second,
            each.sample.latency_us,
            each.sample.latency_p99_us,
        )
        for each in result.samples
    ]
    write_lines(path, [column.name for column in SERVICE_COLUMNS], rows)
