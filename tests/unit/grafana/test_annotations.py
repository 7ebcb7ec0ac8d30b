"""Migrations and toggles as annotations: what is posted, and what a Grafana that is away delays."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from fakedirty.errors import GrafanaError
from fakedirty.grafana.address import parse_url
from fakedirty.grafana.annotation_sink import poster
from fakedirty.grafana.annotations import Annotation, Annotator
from fakedirty.grafana.outbox import Outbox
from fakedirty.model.enums import Level
from fakedirty.model.migration import Migration
from grafana_server import TOKEN, Grafana, serving
from made_migrations import EVENTS, LOSS, START, made, tell

EPOCH = 1_700_000_000 * 10**9
ANNOTATION = Annotation(1, None, ("fakedirty",), "text")


def until(there: Callable[[], object]) -> None:
    """It comes, or the test fails."""
    deadline = time.monotonic() + 20
    while not there():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def nobody_sends() -> bool:
    """Every outbox has ended."""
    return not [thread for thread in threading.enumerate() if thread.name == "grafana"]


def annotated(migration: Migration, **how: object) -> list[Annotation]:
    """The annotations of it."""
    made_of: list[Annotation] = []
    tell(migration, [Annotator(made_of.append, lambda: EPOCH)], **how)  # type: ignore[arg-type]
    return made_of


def test_a_migration_is_a_region_and_a_toggle_a_point() -> None:
    first, second, region = annotated(made())
    start = (EPOCH + START) // 10**6
    assert [(each.time_ms - start, each.end_ms) for each in (first, second)] == [(0, None), (5_000, None)]
    assert first.tags == ("fakedirty", "vm:vm", "toggle", "mode:observe")
    assert second.text == "vm: mode observe &rarr; skip in round 3"
    assert (region.time_ms, region.end_ms) == (start, start + 7_000)
    assert region.tags == ("fakedirty", "vm:vm", "migration", "outcome:completed", "id:m1")
    assert region.text == ("vm: completed, 4 rounds; total time 6.9 s; downtime 0.042 s; sent 601.5 MB; saved 492.0 MB")


def test_one_that_is_no_longer_observed_is_unfinished_and_ends_now() -> None:
    *_, region = annotated(made(), events=EVENTS[:4])
    assert "outcome:unfinished" in region.tags
    assert region.end_ms is not None
    assert abs(region.end_ms - (EPOCH + time.monotonic_ns()) // 10**6) < 60_000


def test_what_cannot_be_believed_says_so() -> None:
    assert annotated(made(), events=(*EVENTS[:4], *LOSS, *EVENTS[4:]))[-1].text.endswith("; not valid")


def test_the_destination_tells_nothing() -> None:
    assert not annotated(Migration("vm", Level.PATCHED, "m1", START, incoming=True))


@pytest.mark.parametrize(
    "name", ["we\"b'", "a/b", "münchen", "<script>alert(1)</script>", "&amp;", "\udcff", "x" * 300]
)
def test_names_are_text(name: str, tmp_path: Path) -> None:
    grafana = Grafana()
    file = tmp_path / "token"
    file.write_text(TOKEN)
    with serving(grafana) as url:
        for annotation in annotated(made(name)):
            poster(parse_url(url), file)(annotation)
    assert not grafana.faults
    assert len(grafana.annotations) == 3
    for posted in grafana.annotations:
        assert "<" not in posted["text"]
        whole = f"vm:{name.encode('utf-8', 'surrogateescape').decode('utf-8', 'backslashreplace')}"
        assert len(posted["tags"][1]) <= 100
        assert posted["tags"][1] == whole if len(whole) <= 100 else posted["tags"][1].startswith(whole[:80])
    assert [posted["timeEnd"] for posted in grafana.annotations[:2]] == [None, None]


def test_it_waits_for_grafana_and_tells_it_in_order(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "token"
    file.write_text("glsa_old")
    away = [(503, {"message": "starting"})]
    grafana = Grafana(answers={("POST", "/api/annotations"): list(away)})
    with serving(grafana) as url, caplog.at_level(logging.WARNING):
        outbox = Outbox(poster(parse_url(url), file), first_pause=0.01, longest_pause=0.02)
        tell(made(), [Annotator(outbox.put)])
        until(lambda: len(grafana.requests) > 3)  # away, then the wrong token, again and again
        file.write_text(TOKEN)
        until(lambda: len(grafana.annotations) == 3)
        outbox.close()
    assert [posted["tags"][2] for posted in grafana.annotations] == ["toggle", "toggle", "migration"]
    assert not grafana.faults
    messages = [record.message for record in caplog.records]
    assert len(messages) == 2
    assert "annotations wait" in messages[0]
    assert messages[1] == "Grafana takes annotations again"


def test_what_is_refused_for_good_is_dropped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN)
    grafana = Grafana(answers={("POST", "/api/annotations"): [(400, {"message": "bad tags"})]})
    with serving(grafana) as url:
        outbox = Outbox(poster(parse_url(url), file))
        outbox.put(ANNOTATION)
        outbox.put(ANNOTATION)
        outbox.close()
    assert len(grafana.annotations) == 1
    assert "an annotation is dropped" in caplog.text
    assert "bad tags" in caplog.text


def test_nobody_waits_for_a_grafana_that_hangs(caplog: pytest.LogCaptureFixture) -> None:
    hangs = threading.Event()
    begun = threading.Event()

    def send(annotation: Annotation) -> None:
        begun.set()
        hangs.wait(60)

    outbox = Outbox(send, size=3)
    outbox.put(ANNOTATION)
    assert begun.wait(20)
    for _ in range(10):
        outbox.put(ANNOTATION)
    assert [record.message for record in caplog.records] == [
        "3 annotations wait for Grafana: others are dropped until it takes them"
    ]
    outbox.close(patience=0.01)
    assert caplog.records[-1].message == "3 annotations were not taken by Grafana before the end"
    hangs.set()
    until(nobody_sends)


def test_there_is_room_again(caplog: pytest.LogCaptureFixture) -> None:
    away = threading.Event()
    taken: list[Annotation] = []

    def send(annotation: Annotation) -> None:
        if not away.is_set():
            raise GrafanaError("away")
        taken.append(annotation)

    outbox = Outbox(send, size=2, first_pause=0.01, longest_pause=0.01)
    for _ in range(5):
        outbox.put(ANNOTATION)
    away.set()
    until(lambda: len(taken) == 2)
    until(lambda: "3 annotations were dropped; there is room again" in caplog.text)
    outbox.put(ANNOTATION)
    outbox.close()
    assert len(taken) == 3


def test_the_end_does_not_wait_for_one_that_is_away(caplog: pytest.LogCaptureFixture) -> None:
    def send(annotation: Annotation) -> None:
        raise GrafanaError("away")

    outbox = Outbox(send, first_pause=600)
    for _ in range(4):
        outbox.put(ANNOTATION)
    outbox.close(patience=60)
    assert caplog.records[-1].message == "4 annotations were not taken by Grafana before the end"
    assert nobody_sends()
