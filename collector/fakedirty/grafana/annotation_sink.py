"""Connects the annotation sink of an observer with a Grafana server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from .address import GrafanaAddress, read_token
from .annotations import Annotation, Annotator, Label, own_name
from .connection import connected
from .errors import expected, explained
from .outbox import Outbox

WHAT = "adding an annotation"


@contextmanager
def annotating(place: GrafanaAddress, token_file: Path, label: Label = own_name) -> Iterator[Annotator]:
    """The sink; at the end of the context the last annotations are sent.

    Args:
        place: the Grafana server.
        token_file: a file with a token for it.
        label: the label of a migration's VM in the metrics.
    """
    outbox = Outbox(poster(place, token_file))
    try:
        yield Annotator(outbox.put, label=label)
    finally:
        outbox.close()


def poster(place: GrafanaAddress, token_file: Path) -> Callable[[Annotation], None]:
    """A function that sends an annotation to Grafana, or raises GrafanaError.

    It reads the token each time, because the token may have been replaced.
    """

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
