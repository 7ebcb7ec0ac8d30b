"""The sink that makes annotations for Grafana: a region for each migration, a point for each toggle."""

from __future__ import annotations

import hashlib
import html
import time
from collections.abc import Callable
from dataclasses import dataclass

from fakedirty.model.events import Event, ModeChanged
from fakedirty.model.migration import Migration
from fakedirty.model.sink import PageBatch
from fakedirty.model.vm_names import encodable

TAG_LENGTH = 100  # characters that Grafana stores


@dataclass(frozen=True, slots=True)
class Annotation:
    """A point, or a region if it has `end_ms`. Times are Unix times in milliseconds. `text` is HTML, tags are not."""

    time_ms: int
    end_ms: int | None
    tags: tuple[str, ...]
    text: str


def epoch_ns() -> int:
    """The Unix time, in nanoseconds, at which the monotonic clock of this host was 0."""
    return time.time_ns() - time.monotonic_ns()


Label = Callable[[Migration], str]


def own_name(migration: Migration) -> str:
    """The name of the VM of a migration."""
    return encodable(migration.vm)


class Annotator:
    """Makes annotations and passes each to `put` at once. Several threads may call it.

    Args:
        put: takes an annotation; must not block.
        epoch_ns: the Unix time at which the monotonic clock was 0, in nanoseconds.
        label: the label of a migration's VM in the metrics, next to which Grafana shows the annotations.
    """

    def __init__(
        self,
        put: Callable[[Annotation], None],
        epoch_ns: Callable[[], int] = epoch_ns,
        label: Label = own_name,
    ) -> None:
        self._put = put
        self._epoch_ns = epoch_ns
        self._label = label

    def started(self, migration: Migration) -> None:
        """Make nothing yet: a region needs an end."""

    def changed(self, migration: Migration, event: Event) -> None:
        """Make a point for a toggle."""
        if isinstance(event, ModeChanged) and not migration.incoming:
            name = self._label(migration)
            text = f"mode {event.from_mode} &rarr; {event.to_mode} in round {event.round}"
            tags = _tags(name, "toggle", f"mode:{event.to_mode}")
            self._put(Annotation(self._ms(event.time_ns), None, tags, f"{html.escape(name)}: {text}"))

    def pages(self, migration: Migration, batch: PageBatch) -> None:
        """Make nothing: there are too many pages."""

    def ended(self, migration: Migration) -> None:
        """Make a region for the migration."""
        if migration.incoming:
            return
        outcome = migration.state if migration.ended else "unfinished"
        end = time.monotonic_ns() if migration.end_ns is None else migration.end_ns
        name = self._label(migration)
        tags = _tags(name, "migration", f"outcome:{outcome}", f"id:{migration.migration_id}")
        text = f"{html.escape(name)}: {'; '.join(_facts(migration, outcome))}"
        self._put(Annotation(self._ms(migration.start_ns), self._ms(end), tags, text))

    def _ms(self, monotonic_ns: int) -> int:
        return (self._epoch_ns() + monotonic_ns) // 1_000_000


def _facts(migration: Migration, outcome: str) -> list[str]:
    facts = [f"{outcome}, {len(migration.rounds)} rounds"]
    for word, name in (("total time", "total-time"), ("downtime", "downtime")):
        if (milliseconds := migration.reported(name)) is not None:
            facts.append(f"{word} {milliseconds / 1e3:g} s")
    for word, column in (("sent", "transferred_bytes"), ("saved", "saved_bytes")):
        if (count := migration.total(column)) is not None:
            facts.append(f"{word} {count / 1e6:.1f} MB")
    return facts if migration.valid else [*facts, "unchecked" if migration.valid is None else "not valid"]


def _tags(name: str, *words: str) -> tuple[str, ...]:
    """Tags with that of the VM. If that is too long, it ends in a hash, so that different names stay different."""
    vm = f"vm:{name}"
    if len(vm) > TAG_LENGTH:
        digest = hashlib.sha256(name.encode()).hexdigest()[:12]
        vm = f"{vm[: TAG_LENGTH - len(digest) - 1]}~{digest}"
    return ("fakedirty", vm, *words)
