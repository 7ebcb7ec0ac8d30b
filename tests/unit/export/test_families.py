"""What is scraped beside the counts of VMs, and how all of it is written: types, names, formats."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

import pytest
from fakedirty import __version__
from fakedirty.export.exporter import Exporter
from fakedirty.export.host import AttachedCounts, Build, build
from fakedirty.export.text import Described, Said, head, lines, number, series
from fakedirty.model.enums import Mode
from fakedirty.model.events import Event, RoundEnded
from hypothesis import given
from hypothesis import strategies as st
from made_migrations import EVENTS, LOSS, START, again, made, tell, unseen
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as prometheus
from prometheus_client.registry import CollectorRegistry


def families(exporter: Exporter) -> dict[str, Family]:
    """By name, as OpenMetrics has them."""
    return {family.name: family for family in openmetrics(exporter.text(openmetrics=True) + "# EOF\n")}


def labels(family: Family) -> list[dict[str, str]]:
    return [sample.labels for sample in family.samples]


def test_the_mode_is_a_state_set() -> None:
    exporter = Exporter()
    tell(made(), [exporter])
    family = families(exporter)["fakedirty_mode"]
    assert family.type == "stateset"
    assert {sample.labels["fakedirty_mode"]: sample.value for sample in family.samples} == {
        "off": 0,
        "observe": 0,
        "skip": 1,
    }
    assert 'fakedirty_mode{vm="vm",fakedirty_mode="skip"} 1\n' in exporter.text()
    assert "# TYPE fakedirty_mode gauge\n" in exporter.text()


def test_versions_are_an_info() -> None:
    family = families(Exporter(built=Build("1.0", "3.11", "6.1", "0.26")))["fakedirty_build"]
    assert (family.type, labels(family)) == (
        "info",
        [{"version": "1.0", "python": "3.11", "kernel": "6.1", "bcc": "0.26"}],
    )
    found = build()
    assert found.version == __version__
    assert found.python
    assert found.kernel


def test_the_last_migration_is_an_info() -> None:
    exporter = Exporter()
    tell(made(), [exporter])
    family = families(exporter)["fakedirty_migration"]
    assert (family.type, labels(family)) == ("info", [{"vm": "vm", "migration_id": "m1", "level": "patched"}])


def test_the_qemus_that_are_observed() -> None:
    attached = [AttachedCounts("web", 7, "patched", 12, "10.0.3"), AttachedCounts("db", 8, "qmp", 0)]
    exporter = Exporter(attached=lambda: attached)
    found = families(exporter)
    assert found["fakedirty_observed_qemus"].samples[0].value == 2
    assert found["fakedirty_qemu"].type == "info"
    assert labels(found["fakedirty_qemu"]) == [
        {"vm": "web", "pid": "7", "level": "patched", "qemu_version": "10.0.3"},
        {"vm": "db", "pid": "8", "level": "qmp", "qemu_version": ""},
    ]
    assert {s.labels["vm"]: s.value for s in found["fakedirty_probes_attached"].samples} == {"web": 12, "db": 0}
    attached.clear()
    found = families(exporter)
    assert found["fakedirty_observed_qemus"].samples[0].value == 0
    assert "fakedirty_qemu" not in found


def test_the_time_of_a_scrape_is_told_by_the_next() -> None:
    exporter = Exporter()
    assert "fakedirty_scrape_seconds" not in families(exporter)
    (sample,) = families(exporter)["fakedirty_scrape_seconds"].samples
    assert 0 < sample.value < 60


def names(text: str) -> Iterable[str]:
    return (line.rpartition(" ")[0] for line in text.splitlines() if not line.startswith("#"))


def test_no_series_is_there_twice() -> None:
    """Prometheus refuses all of a scrape in which one is."""
    attached = [
        *(
            AttachedCounts("web", 7, "patched", 12),
            AttachedCounts("web", 8, "qmp", 0),
            AttachedCounts("web", 7, "stock", 3),
        ),
        *(AttachedCounts("vm-\udcfe", 9, "qmp", 0), AttachedCounts("vm-\udcff", 9, "qmp", 0)),
    ]
    exporter = Exporter(attached=lambda: attached)
    twice = [RoundEnded(START, again(2, skip=True)), RoundEnded(START, again(2, skip=False))]
    for name in ("web", "web", "vm-\udcfe", "vm-\udcff"):
        tell(made(name), [exporter], [*EVENTS, *twice])
    counted = Counter(names(exporter.text()))
    assert counted.most_common(1)[0][1] == 1
    assert 'fakedirty_qemu_info{vm="web",pid="7",level="stock",qemu_version=""}' in counted
    assert 'fakedirty_qemu_info{vm="web",pid="8",level="qmp",qemu_version=""}' in counted
    said = Counter((s.name, *sorted(s.labels.items())) for family in exporter.collect() for s in family.samples)
    assert said.most_common(1)[0][1] == 1


EVERYTHING: list[Event] = [*EVENTS, *LOSS, RoundEnded(START, unseen(9))]


# what a migration id can be; its own parser of OpenMetrics reads no exemplar whose label begins with a quote
IDS = st.text("0123456789abcdef", max_size=8)


@given(st.lists(st.tuples(st.text(max_size=5), IDS, st.lists(st.sampled_from(EVERYTHING))), max_size=3))
def test_it_is_written_as_prometheus_client_writes_it(told: list[tuple[str, str, list[Event]]]) -> None:
    """But for the order of labels: both are read by its parsers, and say the same."""
    exporter = Exporter(attached=lambda: [AttachedCounts(vm, 1, "qmp", 0, version) for vm, version, _ in told])
    for vm, migration_id, events in told:
        tell(made(vm, migration_id), [exporter], events)
    registry = CollectorRegistry()
    registry.register(exporter)

    def said(families: Iterable[Family]) -> list[object]:
        return [
            (family.name, family.type, family.documentation, family.samples)
            for family in families
            if family.name != "fakedirty_scrape_seconds"
        ]

    exporter.text()
    assert said(prometheus(exporter.text())) == said(prometheus(generate_latest(registry).decode()))
    text = generate_openmetrics(registry).decode()  # type: ignore[no-untyped-call]
    if any("\r" in vm + migration_id for vm, migration_id, _ in told):
        return  # which its own parser takes for the end of a line
    assert said(openmetrics(exporter.text(openmetrics=True) + "# EOF\n")) == said(openmetrics(text))


def test_every_mode_has_a_state() -> None:
    assert [str(mode) for mode in Mode] == ["off", "observe", "skip"]


@pytest.mark.parametrize(
    ("value", "written"),
    [(0, "0"), (True, "1"), (2**60, "1152921504606846976"), (0.1, "0.1"), (1e300, "1e+300")],
)
def test_numbers(value: float, written: str) -> None:
    assert number(value) == written


def test_numbers_that_are_none() -> None:
    assert [number(value) for value in (math.inf, -math.inf, math.nan)] == ["+Inf", "-Inf", "NaN"]


def test_help_is_escaped() -> None:
    of = Described("x_total", "counter", (), 'a "b"\\\n')
    assert head(of, openmetrics=False) == '# HELP x_total a "b"\\\\\\n\n# TYPE x_total counter\n'
    assert head(of, openmetrics=True) == '# HELP x a \\"b\\"\\\\\\n\n# TYPE x counter\n'
    assert lines([Said(series("x_total", ()), (), 1)]).prometheus == "x_total 1\n"
