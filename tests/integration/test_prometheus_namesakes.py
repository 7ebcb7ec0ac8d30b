"""QEMUs that share a name, or whose names are not UTF-8, migrate at once: each keeps its own counters."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from fakedirty.lab.qemu import qemu_binary
from fakedirty.record.load import load
from migrating import CRAWL, Pair, pair, wait
from prometheus_client.parser import text_string_to_metric_families
from scraping import fetch
from serving import Service, service

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: for BPF")

NAMES = ("twin", "twin", "tw\udcfen", "tw\udcffn")
COUNTED = {
    "first_pages": ("pages_total", "first"),
    "changed_pages": ("pages_total", "changed"),
    "fake_pages": ("pages_total", "fake"),
    "normal_pages": ("page_dispositions_total", "normal"),
    "zero_pages": ("page_dispositions_total", "zero"),
    "visited_pages": ("visited_pages_total", ""),
}


def scraped(it: Service) -> Iterator[tuple[str, dict[str, str], float]]:
    for family in text_string_to_metric_families(fetch(it.metrics).decode()):
        for sample in family.samples:
            yield sample.name.removeprefix("fakedirty_"), sample.labels, sample.value


def counters(it: Service) -> Counter[tuple[str, str, str]]:
    """By metric, VM, and class or disposition."""
    return Counter(
        {
            (name, labels["vm"], labels.get("class", labels.get("disposition", ""))): int(value)
            for name, labels, value in scraped(it)
            if name in {metric for metric, _ in COUNTED.values()}
        }
    )


def of_sources(it: Service) -> list[Path]:
    """The recordings that are whole, but for those of guests that arrived."""
    found = [path.parent for path in it.out.glob("*/*/migration.json") if not path.parent.name.endswith(".partial")]
    return [path for path in found if json.loads((path / "migration.json").read_text())["side"] == "source"]


@pytest.mark.timeout(600)
def test_each_keeps_its_own_counters(tmp_path: Path) -> None:
    with ExitStack() as stack:
        vms: list[Pair] = []
        for number, name in enumerate(NAMES):
            (directory := tmp_path / str(number)).mkdir()
            vms.append(stack.enter_context(pair(qemu_binary(), directory, name)))
            vms[-1].destination = name
        it = stack.enter_context(service(tmp_path, "--listen", "127.0.0.1:0"))
        it.wait_for(*(vm.source.pid for vm in vms))
        for vm in vms:  # each begins while those before it run
            vm.migrate(fake_dirty_mode="observe", max_bandwidth=CRAWL, downtime_limit=1)
            vm.wait_for_syncs(2)
        before = counters(it)
        for vm in vms:
            vm.set(max_bandwidth=16 * CRAWL)
            vm.wait_for_syncs(4)
            now = counters(it)
            assert all(now[key] >= value for key, value in before.items()), "a counter has jumped"
            before = now
        for vm in vms:
            assert vm.converge()["status"] == "completed"
        wait(lambda: len(of_sources(it)) == len(NAMES))
        directories = of_sources(it)
        assert {path.parent.name for path in directories} == {"twin", "tw%5Cxfen", "tw%5Cxffn"}
        sources = {str(vm.source.pid) for vm in vms}
        labels = {
            labels["pid"]: labels["vm"]
            for name, labels, _ in scraped(it)
            if name == "qemu_info" and labels["pid"] in sources
        }
        first, second = vms[0].source.pid, vms[1].source.pid
        assert set(labels.values()) in (
            {"twin", f"twin (pid {second})", "tw\\xfen", "tw\\xffn"},
            {"twin", f"twin (pid {first})", "tw\\xfen", "tw\\xffn"},
        )
        outcomes = Counter({labels["vm"]: value for name, labels, value in scraped(it) if name == "migrations_total"})
        assert outcomes == Counter(dict.fromkeys(labels.values(), 1.0))
        wait(
            lambda: (
                {labels["vm"] for name, labels, _ in scraped(it) if name == "visited_pages_total"} == {*labels.values()}
            )
        )
        now = counters(it)
        for directory in directories:
            recording, manifest = load(directory), json.loads((directory / "manifest.json").read_text())
            label = labels[manifest["process"].split()[0]]
            assert manifest["vm"] == label.partition(" (pid")[0]
            assert recording.migrations["valid"].all()
            for column, (metric, word) in COUNTED.items():
                assert now[metric, label, word] == recording.rounds[column].sum(), (label, column)
            assert recording.rounds["fake_pages"].sum() > 0
        told = {vm["pid"]: vm for vm in it.status()["vms"]}
        assert {told[vm.source.pid]["vm"] for vm in vms} == {"twin", "tw\\xfen", "tw\\xffn"}
        assert it.stop() == 0, it.log
