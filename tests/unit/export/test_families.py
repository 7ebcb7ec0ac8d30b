"""What is scraped beside the counts of VMs, and how all of it is written: types, names, formats."""

from __future__ import annotations

import gzip
import urllib.request
from collections import Counter
from collections.abc import Iterable
from email.message import Message

import pytest
from fakedirty import __version__
from fakedirty.export.exporter import Exporter
from fakedirty.export.host import HOST, AttachedCounts, Build, build
from fakedirty.export.metrics import METRICS
from fakedirty.export.routes import MetricsText, metrics_routes
from fakedirty.model.enums import Mode
from fakedirty.model.events import Event, RoundEnded
from fakedirty.web.server import serve
from hypothesis import given
from hypothesis import strategies as st
from made_migrations import EVENTS, LOSS, START, again, made, tell, unseen
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as prometheus

OPENMETRICS = "application/openmetrics-text;version=1.0.0"


def families(exporter: Exporter) -> dict[str, Family]:
    """By name, as OpenMetrics has them; those of the exporter alone."""
    text = MetricsText(exporter).write(OPENMETRICS)[0].decode()
    return {family.name: family for family in openmetrics(text) if family.name.startswith("fakedirty")}


def labels(family: Family) -> list[dict[str, str]]:
    return [sample.labels for sample in family.samples]


def fetch(url: str, **headers: str) -> tuple[Message, bytes]:
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=20) as answer:
        return answer.headers, answer.read()


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
    text = MetricsText(exporter).write()[0].decode()
    assert 'fakedirty_mode{fakedirty_mode="skip",vm="vm"} 1.0\n' in text
    assert "# TYPE fakedirty_mode gauge\n" in text


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


def test_the_time_of_a_scrape_is_in_the_next_one() -> None:
    exporter = Exporter()
    assert "fakedirty_scrape_seconds" not in families(exporter)
    (sample,) = families(exporter)["fakedirty_scrape_seconds"].samples
    assert 0 < sample.value < 60


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
    counted = Counter((s.name, *sorted(s.labels.items())) for family in exporter.collect() for s in family.samples)
    assert counted.most_common(1)[0][1] == 1
    infos = {tuple(sorted(each.items())) for each in labels(families(exporter)["fakedirty_qemu"])}
    for pid, level in (("7", "stock"), ("8", "qmp")):
        assert (("level", level), ("pid", pid), ("qemu_version", ""), ("vm", "web")) in infos


EVERYTHING: list[Event] = [*EVENTS, *LOSS, RoundEnded(START, unseen(9))]


# what a migration id can be; its own parser of OpenMetrics reads no exemplar whose label begins with a quote
IDS = st.text("0123456789abcdef", max_size=8)
#: what its own parsers take for the end of a line
NAMES = st.text(st.characters(exclude_characters="\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"), max_size=5)


@given(st.lists(st.tuples(NAMES, IDS, st.lists(st.sampled_from(EVERYTHING))), max_size=3))
def test_both_formats_are_read_back_as_they_were(told: list[tuple[str, str, list[Event]]]) -> None:
    exporter = Exporter(attached=lambda: [AttachedCounts(vm, 1, "qmp", 0, version) for vm, version, _ in told])
    for vm, migration_id, events in told:
        tell(made(vm, migration_id), [exporter], events)
    metrics = MetricsText(exporter)

    def read(families: Iterable[Family], exemplars: bool = True) -> dict[str, object]:
        return {
            family.name: (
                family.type if exemplars else "",
                family.documentation,
                [(s.name, s.labels, s.value, s.exemplar if exemplars else None) for s in family.samples],
            )
            for family in families
            if family.name.startswith("fakedirty") and family.name != "fakedirty_scrape_seconds"
        }

    made_ = list(exporter.collect())
    assert read(openmetrics(metrics.write(OPENMETRICS)[0].decode())) == read(made_)
    for family in made_:  # a family has the name of its samples there, but for a counter's
        family.name += "_info" if family.type == "info" else ""
    assert read(prometheus(metrics.write()[0].decode()), exemplars=False) == read(made_, exemplars=False)


def test_every_mode_has_a_state() -> None:
    assert [str(mode) for mode in Mode] == ["off", "observe", "skip"]


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", "text/plain; version=0.0.4; charset=utf-8"),
        ("*/*", "text/plain; version=0.0.4; charset=utf-8"),
        ("text/plain;version=1.0.0;escaping=allow-utf-8", "text/plain; version=0.0.4; charset=utf-8"),
        (OPENMETRICS, "application/openmetrics-text; version=1.0.0; charset=utf-8"),
        (f"{OPENMETRICS};escaping=dots,text/plain;q=0.5", "application/openmetrics-text; version=1.0.0; charset=utf-8"),
    ],
)
def test_a_client_gets_the_format_that_it_asks_for(accept: str, content_type: str) -> None:
    exporter = Exporter()
    tell(made(), [exporter])
    with serve(metrics_routes(exporter), port=0) as url:
        headers, body = fetch(f"{url}/metrics", Accept=accept)
        assert headers.get_all("Content-Type") == [content_type]
        assert int(headers["Content-Length"]) == len(body)
        assert body.endswith(b"# EOF\n") is content_type.startswith("application")
        assert b"\nfakedirty_pages_total{" in body
        assert b"\nprocess_resident_memory_bytes " in body
        zipped, again_ = fetch(f"{url}/metrics", **{"Accept": accept, "Accept-Encoding": "br, gzip;q=0.8"})
        assert zipped["Content-Encoding"] == "gzip"
        assert gzip.decompress(again_).count(b"\n") >= body.count(b"\n")


def test_every_family_is_described_as_the_tables_have_it() -> None:
    exporter = Exporter(attached=lambda: [AttachedCounts("vm", 1, "patched", 7, "10.0.2")])
    tell(made(), [exporter])
    found = families(exporter)
    for metric in (*METRICS, *HOST):
        suffix = {"counter": "_total", "info": "_info"}.get(metric.type, "")
        if (family := found.pop(metric.name.removesuffix(suffix), None)) is None:
            continue
        own = {sample.name for sample in family.samples}
        names = {"histogram": {metric.name + end for end in ("_bucket", "_count", "_sum")}}.get(
            metric.type, {metric.name}
        )
        assert (family.type, family.documentation, own) == (metric.type, metric.help, names)
        vm = ("vm",) if metric in METRICS else ()
        assert all({*each} - {"le"} == {*vm, *metric.labels} for each in labels(family)), metric.name
    assert not found
