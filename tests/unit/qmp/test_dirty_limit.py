"""query-migrate is not sent where it may crash QEMU: dirty-limit is on, vCPUs run, the patch series is missing."""

from __future__ import annotations

import json
import logging
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from fakedirty.model.enums import Level
from fakedirty.model.events import MigrationStarted, RoundEnded, StateChanged
from fakedirty.model.trace import Channel, TraceRecord
from fakedirty.observe.decode.interfaces import EndUnknown, Observed
from fakedirty.observe.decode.reader import QmpTraceReader
from fakedirty.observe.host import migration_capabilities
from fakedirty.observe.qmp_poller import QmpPoller
from fakedirty.qmp import final_report
from fakedirty.qmp.monitor import Address
from fakedirty.qmp.rounds_command import COMMANDS
from qmp_server import qmp_server

COMPLETED = {"status": "completed", "total-time": 7, "ram": {}}


class Queried:
    """A QEMU that counts the commands that it gets; `limited`, `running` and `series` may change at any time."""

    def __init__(self, *, limited: bool, running: bool = True, series: bool = False) -> None:
        self.limited, self.running, self.series = limited, running, series
        self.counts = Counter[str]()
        answers = {
            "query-commands": lambda: [
                {"name": name} for name in ("query-migrate", *(COMMANDS if self.series else ()))
            ],
            "query-migrate-capabilities": lambda: [
                {"capability": "events", "state": True},
                {"capability": "dirty-limit", "state": self.limited},
            ],
            "query-status": lambda: {"status": "running" if self.running else "postmigrate", "running": self.running},
            "query-migrate": lambda: COMPLETED,
            **{command: lambda: {"migration-start": 0, "dropped": 0, "rounds": []} for command in COMMANDS},
        }
        self.answers = {name: self._counted(name, answer) for name, answer in answers.items()}

    def _counted(self, name: str, answer: Any) -> Any:
        def count(_arguments: dict[str, Any]) -> object:
            self.counts[name] += 1
            return answer()

        return count


@pytest.mark.parametrize(
    ("qemu", "expected"),
    [
        (Queried(limited=True), {}),
        (Queried(limited=True, running=False), COMPLETED),
        (Queried(limited=True, series=True), COMPLETED),
        (Queried(limited=False), COMPLETED),
    ],
    ids=["runs", "stopped", "series", "off"],
)
def test_the_final_report_of_a_guest_that_runs_on_is_not_read(
    qemu: Queried, expected: dict[str, Any], tmp_path: Path
) -> None:
    with qmp_server(tmp_path / "qmp", qemu.answers):
        assert final_report.read([Address(tmp_path / "qmp")], "completed") == expected
    assert qemu.counts["query-migrate"] == (1 if expected else 0)


@pytest.mark.parametrize("series", [False, True])
def test_the_poller_logs_that_it_does_not_send_it(
    series: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    qemu = Queried(limited=True, series=series, running=False)  # it may run a moment later
    poller = QmpPoller([Address(tmp_path / "qmp")])
    with caplog.at_level(logging.WARNING), qmp_server(tmp_path / "qmp", qemu.answers):
        poller._history = COMMANDS[0] if series else None
        places = (Address(tmp_path / "qmp"),)
        first, second = poller._look_at(places), poller._look_at(places)
        qemu.limited = False
        third = poller._look_at(places)
        poller.close()
    assert [("query-migrate" in record.object()) for record in (first, second, third)] == [series, series, True]
    assert qemu.counts["query-migrate"] == (3 if series else 1)
    assert sum("dirty-limit" in record.message for record in caplog.records) == (0 if series else 1)


def look(seconds: int, migrate: dict[str, Any] | None) -> TraceRecord:
    answers: dict[str, Any] = {"query-status": {"status": "running", "running": True}}
    if migrate is not None:
        answers["query-migrate"] = migrate
    return TraceRecord(seconds * 1_000_000_000, Channel.ANSWERS, json.dumps(answers).encode())


def active(syncs: int, milliseconds: int) -> dict[str, Any]:
    ram = {"dirty-sync-count": syncs, "normal": 10 * syncs, "duplicate": 0, "transferred": 40960 * syncs}
    return {"status": "active", "ram": ram, "total-time": milliseconds, "setup-time": 1}


def read(*looks: dict[str, Any] | None) -> list[Observed]:
    reader = QmpTraceReader(may_receive=False)
    return [event for number, given in enumerate(looks, 1) for event in reader.take(look(number, given))]


def test_without_query_migrate_there_is_no_migration() -> None:
    assert read({}, None, None, {}) == []


def test_a_migration_that_was_seen_before_has_an_unknown_end() -> None:
    events = read({}, active(1, 900), None, None)
    assert [type(event) for event in events][-2:] == [RoundEnded, EndUnknown]
    assert sum(isinstance(event, EndUnknown) for event in events) == 1
    assert not any(isinstance(event, StateChanged) and event.state in ("completed", "failed") for event in events)


def test_one_that_ended_unseen_is_not_reported_and_the_next_is() -> None:
    ended = active(5, 4000) | {"status": "completed", "downtime": 3}
    events = read({}, None, ended, ended, active(1, 900))
    [start] = [event for event in events if isinstance(event, MigrationStarted)]
    assert start.time_ns > 4_000_000_000
    assert not start.partial


def test_doctor_reports_what_is_not_seen() -> None:
    assert "query-migrate" in migration_capabilities.consequences(["dirty-limit"], Level.QMP)["dirty-limit"]
    assert migration_capabilities.consequences(["dirty-limit"], Level.QMP, has_series=True) == {}
    assert migration_capabilities.consequences(["events"], Level.QMP) == {}
