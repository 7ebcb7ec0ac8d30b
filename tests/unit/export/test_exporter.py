"""The exporter: what is scraped is what was told, counters never fall, and what is unseen is absent."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from fakedirty import __version__
from fakedirty.export.exporter import Exporter
from fakedirty.export.host import HOST, Build
from fakedirty.export.metrics import METRICS
from fakedirty.export.routes import MetricsText
from fakedirty.export.tracked_migration import ROUNDS_SHOWN
from fakedirty.model.enums import Mode
from fakedirty.model.events import FinalReport, LimitsRead, MigrationStarted, ModeChanged, RoundEnded, StateChanged
from fakedirty.model.migration import Migration
from hypothesis import given
from hypothesis import strategies as st
from made_migrations import EVENTS, LOSS, REPORT, SECOND, START, again, batch, bulk, made, tell, unseen
from made_switchover import COUNTED, DESTINATION, END, SOURCE
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families

Scraped = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def exporter() -> Exporter:
    return Exporter(lambda: datetime(2026, 1, 1, tzinfo=UTC))


def scrape(from_: Exporter) -> Scraped:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in from_.collect()
        for sample in family.samples
    }


def value(scraped: Scraped, name: str, **labels: str) -> float | None:
    return scraped.get((f"fakedirty_{name}", tuple(sorted(({"vm": "vm"} | labels).items()))))


def test_nothing_seen_is_nothing_said() -> None:
    to = Exporter(built=Build(bcc="0.26.0"))
    labels = (("bcc", "0.26.0"), ("kernel", ""), ("python", ""), ("version", __version__))
    assert scrape(to) == {
        ("fakedirty_build_info", labels): 1,
        ("fakedirty_observed_qemus", ()): 0,
        ("fakedirty_policy_skip_off_total", ()): 0,
        ("fakedirty_vms_dropped_total", ()): 0,
    }


def test_a_whole_migration() -> None:
    to = exporter()
    tell(made(), [to])
    seen = scrape(to)
    assert value(seen, "pages_total", **{"class": "fake"}) == 180_000
    assert value(seen, "pages_total", **{"class": "changed"}) == 15_000
    assert value(seen, "pages_total", **{"class": "first"}) == 132_613
    assert value(seen, "page_dispositions_total", disposition="skipped") == 120_000
    assert value(seen, "saved_bytes_total") == 492_000_000
    assert value(seen, "hash_seconds_total") == pytest.approx(0.0625)
    assert [value(seen, "rounds_total", kind=kind) for kind in ("bulk", "iterative", "switchover")] == [1, 2, 1]
    assert value(seen, "invalid_rounds_total") == 0
    assert [value(seen, "mode", fakedirty_mode=str(mode)) for mode in Mode] == [0, 0, 1]
    assert value(seen, "migration_active") == 0
    assert value(seen, "migration_valid") == 1
    assert value(seen, "migrations_total", outcome="completed") == 1
    assert value(seen, "migration_info", migration_id="m1", level="patched") == 1
    assert value(seen, "migration_start_time_seconds") == datetime(2026, 1, 1, tzinfo=UTC).timestamp()
    assert value(seen, "migration_duration_seconds") == 6.9
    assert value(seen, "migration_downtime_seconds") == 0.042
    assert value(seen, "round_pages", round="2", **{"class": "fake"}) == 60_000
    assert value(seen, "round_saved_bytes", round="3") == 246_000_000
    assert value(seen, "left_pages") == 3


def test_the_downtime_is_exported_by_part_with_its_devices_added_up() -> None:
    to = exporter()
    tell(made(), [to], (*SOURCE, *DESTINATION, *END))
    seen = scrape(to)
    parts = {dict(labels)["part"]: ms for (name, labels), ms in seen.items() if name.endswith("downtime_part_seconds")}
    assert {part: round(seconds * 1e3, 6) for part, seconds in parts.items() if seconds} == COUNTED
    assert parts["unexplained"] == parts["receive"] == 0


def test_where_a_downtime_was_not_measured_no_part_is_exported() -> None:
    to = exporter()
    arrived = Migration("vm", made().level, "m1", START, incoming=True)
    tell(arrived, [to], (*DESTINATION, END[-1]))
    assert not [name for name, _ in scrape(to) if name.endswith("downtime_part_seconds")]


def test_postcopy_is_read_apart() -> None:
    """Begun after 5 s, and over 2 s later; how many pages were left to it is in QEMU's history, once it has ended."""
    to, migration = exporter(), made()
    begun = [*EVENTS[:4], StateChanged(START + 5 * SECOND, "postcopy-active")]
    tell(migration, [to], begun, end=False)
    names = ("postcopy_start_seconds", "postcopy_duration_seconds", "postcopy_left_pages")
    assert [value(scrape(to), f"migration_{name}") for name in names] == [5, None, None]
    report = FinalReport(START + 8 * SECOND, REPORT | {"postcopy": {"start": START + 5 * SECOND, "pages": 5_006}})
    for event in (StateChanged(START + 7 * SECOND, "completed"), report):
        migration.apply(event)
        to.changed(migration, event)
    assert [value(scrape(to), f"migration_{name}") for name in names] == [5, 2, 5_006]
    tell(made(), [to])
    assert [value(scrape(to), f"migration_{name}") for name in names] == [None, None, None]


@pytest.mark.parametrize(("channels", "seconds"), [(1, 0.6), (4, 0.15), (None, None)])
def test_channels_hash_at_once(channels: int | None, seconds: float | None) -> None:
    """0.2 s in each of three rounds, in the sum; where the channels are not known it is not known what that took."""
    to = exporter()
    rounds = [replace(again(number, skip=True), hash_seconds=0.2) for number in (2, 3, 4)]
    events = [RoundEnded(START, each) for each in (bulk(), *rounds)]
    tell(made(), [to], [MigrationStarted(START), LimitsRead(START, 300, None, channels, False), *events])
    assert value(scrape(to), "skip_hash_seconds") == (seconds and pytest.approx(seconds))
    assert value(scrape(to), "skip_saved_seconds") is not None
    assert value(scrape(to), "hash_seconds_total") == pytest.approx(0.625), "as rounds have it"


def test_it_is_read_while_it_runs() -> None:
    to, migration = exporter(), made()
    to.started(migration)
    assert value(scrape(to), "migration_active") == 1
    assert value(scrape(to), "pages_total", **{"class": "first"}) is None
    migration.apply(RoundEnded(START, bulk()))
    assert value(scrape(to), "pages_total", **{"class": "first"}) == 132_613
    assert not any(name == "fakedirty_migrations_total" for name, _ in scrape(to))


def test_what_is_unseen_is_absent_and_not_zero() -> None:
    to = exporter()
    tell(made(), [to], [MigrationStarted(START), RoundEnded(START, unseen())])
    names = {name for name, _ in scrape(to)}
    assert names.isdisjoint(
        f"fakedirty_{name}"
        for name in (
            "pages_total",
            "page_dispositions_total",
            "saved_bytes_total",
            "mode",
            "round_pages",
            "dirty_pages",
        )
    )
    assert value(scrape(to), "transferred_bytes_total") == 4096


@given(st.lists(st.lists(st.sampled_from([*EVENTS, *LOSS, RoundEnded(START, unseen())]), max_size=6), max_size=5))
def test_counters_never_fall(migrations: list[list[object]]) -> None:
    to = exporter()
    before: Scraped = {}
    for number, events in enumerate(migrations):
        migration = made(migration_id=str(number))
        to.started(migration)
        for event in events:
            migration.apply(event)  # type: ignore[arg-type]
            now = scrape(to)
            for key in before:
                if key[0].endswith("_total"):
                    assert now[key] >= before[key], key
            before = now
        if number % 2:
            to.ended(migration)


def test_outcomes_are_counted_once() -> None:
    to = exporter()
    tell(made(migration_id="1"), [to])
    tell(made(migration_id="2"), [to], [StateChanged(START, "cancelled")])
    tell(made(migration_id="3"), [to], [], end=False)
    tell(made(migration_id="4"), [to], [])
    tell(made(migration_id="5"), [to], [], end=False)
    seen = scrape(to)
    outcomes = {"completed": 1, "cancelled": 1, "unfinished": 2}
    assert {outcome: value(seen, "migrations_total", outcome=outcome) for outcome in outcomes} == outcomes


def test_gauges_are_of_the_last_migration() -> None:
    to = exporter()
    tell(made(migration_id="1"), [to])
    tell(made(migration_id="2"), [to], [], end=False)
    seen = scrape(to)
    assert value(seen, "migration_info", migration_id="1", level="patched") is None
    assert value(seen, "round_pages", round="2", **{"class": "fake"}) is None
    assert value(seen, "pages_total", **{"class": "fake"}) == 180_000


def test_rounds_are_of_the_last_migration() -> None:
    """Also those that have the numbers of rounds of the one before."""
    to = exporter()
    tell(made(migration_id="1"), [to])
    assert value(scrape(to), "round_dirty_pages", round="2") == 64_990
    others = [replace(bulk(), dirty_pages=5), replace(again(2, skip=False), dirty_pages=7)]
    tell(made(migration_id="2"), [to], [RoundEnded(START, each) for each in others], end=False)
    seen = scrape(to)
    assert [value(seen, "round_dirty_pages", round=number) for number in "1234"] == [5, 7, None, None]
    assert value(seen, "pages_total", **{"class": "fake"}) == 180_000 + 60_000


def test_a_late_end_does_not_touch_the_next_migration() -> None:
    to, first, second = exporter(), made(migration_id="1"), made(migration_id="2")
    to.started(first)
    to.started(second)
    to.ended(first)
    assert value(scrape(to), "migration_active") == 1


def test_series_of_rounds_are_bounded() -> None:
    to = exporter()
    tell(made(), [to], [RoundEnded(START, again(number, True)) for number in range(2, 202)])
    rounds = {dict(labels)["round"] for name, labels in scrape(to) if name == "fakedirty_round_pages"}
    assert rounds == {str(number) for number in range(202 - ROUNDS_SHOWN, 202)}


def test_the_mode_is_that_of_the_last_toggle_also_within_a_round() -> None:
    to = exporter()
    toggles = [ModeChanged(START, 2, Mode.OFF, Mode.OBSERVE, "x"), ModeChanged(START, 2, Mode.OBSERVE, Mode.SKIP, "x")]
    tell(made(), [to], [RoundEnded(START, bulk(mode=Mode.OFF)), *toggles], end=False)
    assert value(scrape(to), "mode", fakedirty_mode="skip") == 1


def test_invalid_rounds_and_losses() -> None:
    to = exporter()
    tell(made(), [to], [*LOSS, RoundEnded(START, bulk())])
    seen = scrape(to)
    assert value(seen, "lost_events_total", where="ring buffer full") == 7
    assert value(seen, "invalid_rounds_total") == 1
    assert value(seen, "migration_valid") == 0


def test_vms_are_apart_and_any_name_can_be_scraped() -> None:
    to = exporter()
    names = ['a "b"\\c', "ü\n", "vm-\udcff"]
    for name in names:
        tell(made(name), [to])
    families = list(text_string_to_metric_families(MetricsText(to).write()[0].decode()))
    vms = {sample.labels["vm"] for family in families for sample in family.samples if "vm" in sample.labels}
    assert vms == {*names[:2], "vm-\\xff"}


def test_scraping_while_it_changes() -> None:
    to, migration = exporter(), made()
    to.started(migration)
    to.pages(migration, batch(0, 1))
    errors: list[Exception] = []
    over = threading.Event()

    def reader() -> None:
        try:
            while not over.is_set():
                scrape(to)
        except Exception as error:  # noqa: BLE001 whatever it is, the test is to show it
            errors.append(error)

    threads = [threading.Thread(target=reader) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(2, 300):
        for event in (RoundEnded(START, again(number, True)), *LOSS):
            migration.apply(event)
            to.changed(migration, event)
        if number % 50 == 0:
            migration = made(migration_id=str(number))
            to.started(migration)
    over.set()
    for thread in threads:
        thread.join()
    assert not errors
    assert value(scrape(to), "rounds_total", kind="iterative") == 298


def test_names_follow_the_conventions() -> None:
    names = [metric.name for metric in (*METRICS, *HOST)]
    assert len(names) == len(set(names))
    for metric in (*METRICS, *HOST):
        assert metric.name.startswith("fakedirty_")
        assert metric.name.endswith("_total") == (metric.type == "counter")
        assert metric.name.endswith("_info") == (metric.type == "info")
        assert metric.help.endswith(".")


def test_observations_are_counted_in_buckets_over_all_migrations() -> None:
    to = exporter()
    rounds = [*tell(made(), [to]).rounds, *tell(made(migration_id="m2"), [to]).rounds]
    seen = scrape(to)
    for bound in ("0.3", "1", "3", "+Inf"):
        below = sum(
            value(seen, "round_time_seconds_bucket", kind=kind, le=bound) or 0
            for kind in ("bulk", "iterative", "switchover")
        )
        assert below == sum(r.duration_seconds <= float(bound) for r in rounds)
    assert value(seen, "round_time_seconds_count", kind="bulk") == 2
    assert value(seen, "downtime_seconds_sum") == pytest.approx(2 * 0.042)
    ratios = [r.fake_pages / r.visited_pages for r in rounds if r.fake_pages is not None and r.visited_pages]
    counted = [value(seen, "round_fake_ratio_sum", kind=kind) or 0 for kind in ("bulk", "iterative", "switchover")]
    assert sum(counted) == pytest.approx(sum(ratios))


def test_a_bucket_names_the_migration_that_was_in_it() -> None:
    to = exporter()
    tell(made(), [to])
    text = MetricsText(to).write("application/openmetrics-text; version=1.0.0")[0].decode()
    families = {family.name: family for family in openmetrics(text)}
    with_exemplar = [sample for sample in families["fakedirty_downtime_seconds"].samples if sample.exemplar]
    assert [(each.labels["le"], each.exemplar.labels, each.exemplar.value) for each in with_exemplar] == [
        ("0.1", {"migration_id": "m1"}, 0.042),
    ]
    assert "process_resident_memory_bytes" in families
