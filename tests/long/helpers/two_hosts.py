"""Two hosts for dashboards, both scraped: on one a migration with skip is observed, on the other one without."""

from __future__ import annotations

import json
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from subprocess import Popen
from typing import Any

import pandas as pd
from fakedirty.lab.guests.recipes import build_guest
from fakedirty.lab.guests.workload import Workload
from fakedirty.lab.machine import INCOMING, machine
from fakedirty.lab.migrate import Settings, Step, migrate
from fakedirty.lab.network import shaped_network
from fakedirty.lab.qemu import qemu_binary
from fakedirty.model.enums import Mode
from fakedirty.qmp.client import Qmp
from fakedirty.qmp.mode import set_mode
from fakedirty.record.load import load
from observing import observe
from prometheus_client.parser import text_string_to_metric_families
from scraping import ask, fetch, prometheus, values, wait_for

#: a name that reads as a number, as Proxmox gives them, and one that is anything but a word
WITH, WITHOUT = "1000", "we\"b <b>&'ä'</b>"
SHORT, LONG = 10, 2_000  # downtime limits in milliseconds
SHOWN = 64  # rounds

#: the range of time of each dashboard as it is opened, in seconds
RANGES = {"now": 900, "migration": 900, "ab": 900, "hosts": 3600}


@dataclass(frozen=True)
class Host:
    """One collector, and what it recorded of its VM's migration."""

    instance: str
    vm: str
    rounds: pd.DataFrame
    migration: dict[str, Any]
    exported: str

    def samples(self, name: str, *by: str) -> dict[tuple[str, ...], float]:
        """What the collector exported at the end, by the values of labels."""
        families = text_string_to_metric_families(self.exported)
        found = [each for family in families for each in family.samples if each.name == name]
        return {tuple(each.labels[label] for label in by): each.value for each in found}

    def one(self, name: str, **labels: str) -> float:
        """The one sample that has these labels."""
        (value,) = [
            found for key, found in self.samples(name, *labels).items() if key == tuple(labels.values())
        ]  # fmt: skip
        return value


@dataclass(frozen=True)
class TwoHosts:
    """Both, until after they have migrated; `prometheus` is an address."""

    prometheus: str
    until: float
    skipping: Host
    sending: Host

    @property
    def all(self) -> tuple[Host, Host]:
        """By VM, as a table has them."""
        return self.skipping, self.sending

    def samples(self, metric: str, host: Host, **labels: str) -> list[tuple[float, float]]:
        """All that Prometheus has of one series of the host's VM: time in seconds, value."""
        chosen = {"instance": host.instance, "vm": host.vm, **labels}
        matchers = ",".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in chosen.items())
        (series,) = ask(self.prometheus, "query", query=f"{metric}{{{matchers}}}[1h]", time=self.until)["result"]
        return [(time, float(value)) for time, value in series["values"]]

    def judged(self) -> TwoHosts:
        """As Prometheus has them while the migration without skip went on, just before its limit was raised.

        The verdict on it stands: it predicts no end, as the migration is or with skip.
        """
        active = dict(self.samples("fakedirty_migration_active", self.sending))
        limits = self.samples("fakedirty_verdict_limit_seconds", self.sending, source="qemu")
        seen = max(time for time, limit in limits if limit == SHORT / 1e3 and active[time] == 1)
        when = seen + 0.01  # a query may have an offset of 1 ms
        return replace(self, until=when, skipping=self._at(when, self.skipping), sending=self._at(when, self.sending))

    def _at(self, when: float, host: Host) -> Host:
        query = f'{{__name__=~"fakedirty_(verdict|recommended)_.*",instance="{host.instance}"}}'
        lines = []
        for series in ask(self.prometheus, "query", query=query, time=when)["result"]:
            labels = dict(series["metric"])
            name = labels.pop("__name__")
            chosen = ",".join(f"{label}={json.dumps(value, ensure_ascii=False)}" for label, value in labels.items())
            lines.append(f"{name}{{{chosen}}} {series['value'][1]}\n")
        return replace(host, exported="".join(lines))


def _limited(milliseconds: int) -> Any:
    return lambda qmp: qmp.execute("migrate-set-parameters", {"downtime-limit": milliseconds})


def _skip(qmp: Qmp) -> object:
    return set_mode(qmp, Mode.SKIP)


STEPS = {
    WITH: [Step(_limited(SHORT), after_seconds=0.4), Step(_skip, after_round=4), Step(_limited(LONG), after_round=12)],
    # longer than the time between two looks at annotations
    WITHOUT: [Step(_limited(SHORT), after_seconds=0.4), Step(_limited(LONG), after_seconds=12)],
}


@contextmanager
def two_hosts(directory: Path) -> Iterator[TwoHosts]:
    """What they have to show, and the Prometheus that has it, which runs until the block ends."""
    guest = build_guest("baremetal")
    workload = Workload(fake=300, changed=200, zero=50, pause_ms=5, memory_mib=64)
    with ExitStack() as stack:
        network = stack.enter_context(shaped_network())
        observed: dict[str, tuple[Popen[str], dict[str, str]]] = {}
        sides = {}
        for number, name in enumerate((WITH, WITHOUT)):
            arguments = guest.qemu_arguments(workload, directory / f"{number}-source")
            source = stack.enter_context(machine(name, qemu_binary(), arguments, end=network.source))
            arguments = [*guest.qemu_arguments(workload, directory / f"{number}-destination"), *INCOMING]
            destination = stack.enter_context(
                machine(f"{number}-destination", qemu_binary(), arguments, end=network.destination)
            )
            sides[name] = source, destination
            out = ("--out", str(directory / f"{number}"))
            observed[name] = stack.enter_context(
                observe("--pid", str(source.pid), "--json", *out, "--listen", "127.0.0.1:0")
            )
        urls = {name: said["metrics"] for name, (_, said) in observed.items()}
        targets = {name: urllib.parse.urlsplit(url).netloc for name, url in urls.items()}
        # a scrape may take as long as there is between two: a busy host needs more than 200 ms
        scraped = {"static_configs": [{"targets": list(targets.values())}], "scrape_interval": "1s"}
        address = stack.enter_context(prometheus("", directory, scraped))
        _scraped(address, 0)
        for name, (source, destination) in sides.items():
            settings = Settings(LONG, 3_000_000, parameters={"fake-dirty-mode": "observe"})
            outcome = migrate(source, destination, settings, time_limit=60, steps=STEPS[name])
            assert outcome.status == "completed"
            _ended(observed[name][0])
        _scraped(address, time.time())
        _scraped(address, time.time() + 2.5)  # the last value stands for a step of the dashboards' queries
        until = time.time()
        hosts = [
            _host(targets[name], name, directory / f"{number}", fetch(urls[name]).decode())
            for number, name in enumerate(observed)
        ]
        yield TwoHosts(address, until, *hosts)


def _ended(process: Popen[str]) -> None:
    assert process.stdout
    while json.loads(process.stdout.readline())["type"] != "ended":
        pass


def _scraped(address: str, when: float) -> None:
    """Both, later than `when`."""

    def both() -> bool:
        found = values(address, "timestamp(fakedirty_build_info)")
        return len(found) == len(STEPS) and all(float(each) > when for each in found)

    wait_for(both)


def _host(instance: str, vm: str, out: Path, exported: str) -> Host:
    recording = load(out)
    (migration,) = recording.migrations.to_dict("records")
    return Host(instance, vm, recording.rounds.tail(SHOWN), migration, exported)
