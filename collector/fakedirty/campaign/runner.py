"""A campaign carried out: prepared, begun, and run after run until all are whole."""

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
from .run import RunContext, RunResult, measure
from .run_row import row_of
from .spec import CampaignFile, parse
from .store import EXPERIMENT, SERVICE, Row, Store, write_row
from .supported import UnsupportedTreatment, is_patched, left_out
from .treatments import ARMS

FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True, slots=True)
class PreparedCampaign:
    """A campaign that can be begun: what QEMU refused is left out, and the order is drawn."""

    around: RunContext
    runs: list[PlannedRun]
    left_out: list[UnsupportedTreatment]


def prepare(file: CampaignFile, qemu: Path) -> PreparedCampaign:
    """Look at the host, and ask QEMU what it takes. Raises what stands in the way of the whole campaign."""
    spec = file.spec
    check_memory(spec)
    check_accelerator(file, qemu)
    patched = is_patched(qemu, Level(Level.parse(spec.level)))
    refused = left_out(qemu, spec, [ARMS[name] for name in spec.factors.treatment])
    names = {each.treatment for each in refused}
    treatments = [name for name in spec.factors.treatment if name not in names]
    if not treatments:
        words = (f"{each.treatment}: {each.reason}" for each in refused)
        raise LabError("QEMU refuses every treatment of the campaign:", *words)
    return PreparedCampaign(RunContext(file, qemu, patched), plan(spec, treatments), refused)


def begin(prepared: PreparedCampaign, path: Path, out: Path) -> Store:
    """Write the plan down; UsageError where `out` has a campaign. LabError where there can be no such link."""
    spec = prepared.around.file.spec
    check_links(spec)
    facts: Row = {
        "name": spec.name,
        "seed": spec.seed,
        "created_at": datetime.now(UTC).isoformat(),
        "versions": versions(),
        "qemu": qemu_facts(prepared.around.qemu),
        "patched": prepared.around.patched,
    }
    text = prepared.around.file.text
    return Store.create(out, path, text, runs=prepared.runs, left_out=prepared.left_out, facts=facts)


def reopen(directory: Path) -> tuple[Store, RunContext]:
    """A campaign to go on with. UsageError where its file or its QEMU is not what it was."""
    store = Store(directory)
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
    store: Store, around: RunContext, starting: Callable[[PlannedRun], object] = lambda run: None
) -> Iterator[Row]:
    """Make the runs that are not there yet, in their order; each row as soon as its run is whole.

    A run that fails is kept with its reason. RecordError, where the disk takes no more, ends it, as an interrupt does:
    what was whole stays.
    """
    with store.exclusive():
        for planned in store.runs:
            if store.is_done(planned.run):
                continue
            starting(planned)
            with store.writing(planned.run) as directory:
                row = _one(planned, around, store, directory)
                write_row(directory, row)
            yield row


def _one(planned: PlannedRun, around: RunContext, store: Store, directory: Path) -> Row:
    """One run, recorded in `directory`."""
    spec = around.file.spec
    started_at, begin = datetime.now(UTC), time.monotonic()
    seen = RunResult()
    facts = {"campaign": spec.name, "run": planned.run, "treatment": planned.treatment, "qemu": store.facts["qemu"]}
    recorder = Recorder(directory, f"{spec.name}-{planned.run}", facts)
    error = ""
    try:
        measure(planned, around, [recorder], seen)
    except (LabError, QmpError, TargetError) as caught:
        error = str(caught)
    except OSError as caught:  # of a process that is gone in the middle of something
        if caught.errno in FULL:
            raise
        error = str(caught)
    if recorder.failure is not None:
        raise recorder.failure.__cause__ or recorder.failure  # what the disk said: the store tells what to do
    row = row_of(planned, spec, seen, started_at=started_at, wall_seconds=time.monotonic() - begin, error=error)
    write_lines(
        directory / SERVICE,
        [column.name for column in SERVICE_COLUMNS],
        [
            (
                planned.run,
                each.side,
                each.time - seen.started,
                each.sample.operations_per_second,
                each.sample.latency_us,
                each.sample.latency_p99_us,
            )
            for each in seen.heard
        ],
    )
    experiment = {
        "schema_version": 1,
        "run": planned.run,
        "seed": spec.seed,
        "started_at": started_at.isoformat(),
        "clock": {"name": "CLOCK_MONOTONIC", "start_seconds": seen.started, "end_seconds": seen.ended},
        "versions": versions(),
        "qemu": store.facts["qemu"],
        "settings": spec.model_dump(exclude={"factors", "workloads", "toggles"}),
        "toggles": seen.toggles,
        "memory": None if seen.memory is None else str(seen.memory),
        **seen.facts,
    }
    write_json(directory / EXPERIMENT, experiment)
    return row
