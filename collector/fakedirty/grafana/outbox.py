"""Annotations for a Grafana that may be away: sent by a thread of its own, again and again, never waited for."""

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
PATIENCE = 6.0  # seconds at the end, a little longer than one attempt takes


class Outbox:
    """`send` takes one, or raises GrafanaError. They are sent in order, each until it is taken.

    One that will not ever be taken is dropped with a warning, and what does not fit is dropped with one warning until
    there is room again.
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
        """Have it sent, some time; returns at once."""
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
        """Send what waits, each once; what is not taken soon is dropped."""
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
        """The first that waits; None once there is none and will be none."""
        with self._changed:
            while not self._waiting:
                if self._closing.is_set():
                    return None
                self._changed.wait()
            return self._waiting[0]

    def _delivered(self, annotation: Annotation) -> bool:
        """Whether to go on; False where it is over and Grafana is away."""
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
