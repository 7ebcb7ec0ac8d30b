"""Sends annotations to a Grafana that may be unreachable, in a thread of its own, so that nobody waits."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable

from fakedirty.errors import GrafanaError

from .annotations import Annotation

_log = logging.getLogger(__name__)

SIZE = 256
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0  # seconds between two attempts, doubled each time
PATIENCE = 6.0  # seconds for the last attempts, a little longer than one takes


class Outbox:
    """Sends annotations in order, and repeats each until it was accepted.

    An annotation that would be refused again is dropped with a warning. While the outbox is full, annotations are
    dropped; there is one warning for all of them.

    Args:
        send: sends one, or raises GrafanaError.
        size: most annotations that wait.
        first_pause: seconds after the first failed attempt, doubled after each further one.
        longest_pause: seconds, at most.
    """

    def __init__(
        self,
        send: Callable[[Annotation], None],
        *,
        size: int = SIZE,
        first_pause: float = FIRST_PAUSE,
        longest_pause: float = LONGEST_PAUSE,
    ) -> None:
        self._send = send
        self._size = size
        self._first_pause = first_pause
        self._longest_pause = longest_pause
        self._waiting: deque[Annotation] = deque()
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._dropped = 0
        self._thread = threading.Thread(target=self._work, name="grafana", daemon=True)
        self._thread.start()

    def put(self, annotation: Annotation) -> None:
        """Add an annotation to those that wait to be sent; returns at once."""
        with self._changed:
            if len(self._waiting) < self._size:
                self._waiting.append(annotation)
                self._changed.notify()
                return
            self._dropped += 1
            first = self._dropped == 1
        if first:
            _log.warning("%d annotations wait for Grafana: others are dropped until it takes them", self._size)

    def close(self, patience: float = PATIENCE) -> None:
        """Try to send the annotations that wait, each once and for `patience` seconds in all; drop the rest."""
        self._closing.set()
        with self._changed:
            self._changed.notify()
        self._thread.join(patience)
        with self._changed:
            left = len(self._waiting)
            self._waiting.clear()
            self._dropped = 0
        if left:
            _log.warning("%d annotations were not taken by Grafana before the end", left)

    def _work(self) -> None:
        while (annotation := self._next()) is not None:
            if not self._delivered(annotation):
                return
            with self._changed:
                if self._waiting:
                    self._waiting.popleft()
                dropped, self._dropped = self._dropped, 0
            if dropped:
                _log.warning("%d annotations were dropped; there is room again", dropped)

    def _next(self) -> Annotation | None:
        """The first annotation that waits; None if there is none and the outbox is closing."""
        with self._changed:
            while not self._waiting:
                if self._closing.is_set():
                    return None
                self._changed.wait()
            return self._waiting[0]

    def _delivered(self, annotation: Annotation) -> bool:
        """Send until it is accepted or dropped. False if the outbox is closing and Grafana does not answer."""
        pause = self._first_pause
        away = False
        while True:
            try:
                self._send(annotation)
            except GrafanaError as error:
                if error.lasting:
                    _log.warning("an annotation is dropped: %s", error)
                    return True
                if not away:
                    away = True
                    _log.warning("annotations wait: %s", error)
                if self._closing.wait(pause):
                    return False
                pause = min(2 * pause, self._longest_pause)
            else:
                if away:
                    _log.warning("Grafana takes annotations again")
                return True
