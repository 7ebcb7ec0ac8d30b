"""What an observer is given where a Grafana is to be told of migrations, and how each annotation gets there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from .address import GrafanaAddress, read_token
from .annotations import Annotation, Annotator, Label, own_name
from .connection import connected
from .errors import expected, explained
from .outbox import Outbox

WHAT = "telling of a migration"


@contextmanager
def telling(place: GrafanaAddress, token_file: Path, label: Label = own_name) -> Iterator[Annotator]:
    """The sink, for as long as the context lasts; `label` is what a VM is called in the metrics."""
    outbox = Outbox(poster(place, token_file))
    try:
        yield Annotator(outbox.put, label=label)
    finally:
        outbox.close()


def poster(place: GrafanaAddress, token_file: Path) -> Callable[[Annotation], None]:
    """Sends one to Grafana, or raises GrafanaError. The token is read each time: it may have been replaced."""

    def post(annotation: Annotation) -> None:
        with connected(place, read_token(token_file)) as api, explained(place, WHAT):
            answer = api.annotations.add_annotation(
                time_from=annotation.time_ms,
                time_to=annotation.end_ms,
                tags=list(annotation.tags),
                text=annotation.text,
            )
            expected(place, WHAT, answer, "id")

    return post
