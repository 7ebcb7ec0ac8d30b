"""A sink for several threads passes every call on, one at a time."""

from __future__ import annotations

import threading
from typing import Any

from fakedirty.model.events import EventsLost
from fakedirty.model.sink import PageBatch, SerializedSink
from made_migrations import START, made


class Calls:
    """A sink that notes what it gets, and how many threads are in it."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        self.inside = self.most = 0
        self.wait = threading.Event()

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any) -> None:
            self.inside += 1
            self.most = max(self.most, self.inside)
            self.wait.wait(0.01)
            self.calls.append((name, arguments))
            self.inside -= 1

        return call


def test_every_call_is_passed_on() -> None:
    sink, migration, event, batch = Calls(), made(), EventsLost(START, 1, "x"), PageBatch(START, "pc.ram", 1, b"")
    serialized = SerializedSink(sink)  # type: ignore[arg-type]
    serialized.started(migration)
    serialized.changed(migration, event)
    serialized.pages(migration, batch)
    serialized.ended(migration)
    assert sink.calls == [
        ("started", (migration,)),
        ("changed", (migration, event)),
        ("pages", (migration, batch)),
        ("ended", (migration,)),
    ]


def test_calls_of_several_threads_do_not_overlap() -> None:
    sink, migration = Calls(), made()
    serialized = SerializedSink(sink)  # type: ignore[arg-type]
    calls = [
        lambda: serialized.started(migration),
        lambda: serialized.changed(migration, EventsLost(START, 1, "x")),
        lambda: serialized.pages(migration, PageBatch(START, "pc.ram", 1, b"")),
        lambda: serialized.ended(migration),
    ]
    threads = [threading.Thread(target=call) for call in calls * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(sink.calls) == 12
    assert sink.most == 1
