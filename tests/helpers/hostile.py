"""What commands read, made by somebody who means harm: recordings, a trace, a campaign, a configuration."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from campaign_directory import lay_out
from campaign_frames import campaign
from fakedirty.model.events import Event, EventsLost, ModeChanged, RoundEnded, StateChanged
from fakedirty.model.trace import Subject
from fakedirty.record.recorder import Recorder
from fakedirty.record.trace_file import Replay, TraceWriter
from harm import HOSTILE, HOSTILE_FILE
from made_migrations import EVENTS, LOSS, batch, made

_KEY = json.dumps(HOSTILE).replace("\x7f", "\\u007f")  # TOML's text in quotes is JSON's
CONFIGURATION = f"""\
{_KEY} = 1
[observe]
level = {_KEY}
{_KEY} = 1
[record]
directory = {_KEY}
[metrics]
listen = {_KEY}
"""


def recordings(directory: Path) -> list[Path]:
    """Of two migrations whose VM, id, mode's hash, RAM block, state and losses have hostile names."""
    out = directory / HOSTILE_FILE
    recorder = Recorder(out, HOSTILE, {"qemu": {"version": HOSTILE}})
    for number in ("1", "2"):
        events = [_hostile(each) for each in EVENTS]
        migration = made(vm=HOSTILE, migration_id=number + HOSTILE)
        recorder.started(migration)
        recorder.pages(migration, batch(0, 4, block=HOSTILE))
        for event in (*LOSS, *events):
            migration.apply(event)
            recorder.changed(migration, event)
        recorder.ended(migration)
    return recorder.directories


def _hostile(event: Event) -> Event:
    match event:
        case ModeChanged():
            return dataclasses.replace(event, hash=HOSTILE)
        case StateChanged():
            return dataclasses.replace(event, state="completed")
        case EventsLost():
            return dataclasses.replace(event, where=HOSTILE)
        case RoundEnded():
            return dataclasses.replace(event, round=dataclasses.replace(event.round, hash=HOSTILE))
    return event


def trace(directory: Path, original: Path) -> Path:
    """The records of `original`, of a VM with a hostile name."""
    path = directory / f"{HOSTILE_FILE}.trace"
    replay = Replay(original)
    subject = replay.open()
    with TraceWriter(path, replay.origin) as writer:
        writer.begin(Subject(HOSTILE, subject.level, subject.identity, subject.facts))
        while True:
            for record in replay.poll(0):
                writer.take(record)
            if replay.exhausted:
                break
    replay.close()
    return path


def a_campaign(directory: Path) -> Path:
    """With hostile workloads, reasons and names."""
    content = campaign(workloads=("workingset",))
    content.name = HOSTILE
    content.runs["workload"] = HOSTILE
    content.runs["reason"] = HOSTILE
    content.runs["outcome"] = "failed"
    content.left_out = [{"treatment": HOSTILE, "reason": HOSTILE}]
    where = directory / f"campaign{HOSTILE_FILE}"
    where.mkdir()
    lay_out(content, where)
    plan = json.loads((where / "campaign.json").read_text())
    (where / "campaign.json").write_text(json.dumps({**plan, "qemu": {"binary": HOSTILE}}))
    return where
