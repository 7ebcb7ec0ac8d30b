"""What a service does beside observing: old recordings go, its manager hears of it, its configuration is read again."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import fields, replace
from pathlib import Path

from fakedirty.errors import UsageError
from fakedirty.record.output_checks import check_directory
from fakedirty.record.retention import Limits, prune

from .config import Configuration, read
from .sd_notify import ServiceManager

PRUNE_SECONDS = 60.0  # between two looks at what has been kept long enough
JUMP_SECONDS = 3600.0  # by which a clock is set, and not corrected

_log = logging.getLogger(__name__)


def boot_time() -> float:
    """When the host was started, by its clock of today: another time once that has been set."""
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)


def limits_of(configuration: Configuration) -> Limits:
    """How long recordings are kept."""
    record = configuration.record
    return Limits(record.keep_days * 86400, int(record.keep_gib * (1 << 30)))


class Maintenance:
    """:meth:`tick` is called again and again by the thread that observes; nothing in it takes long.

    `busy` gives the directories that are being written below `out`; `again` is set when the configuration at `path`
    is to be read again.
    """

    def __init__(
        self,
        manager: ServiceManager,
        busy: Callable[[], Collection[Path]],
        again: threading.Event,
        *,
        out: Path | None = None,
        path: Path | None = None,
        configuration: Configuration | None = None,
        boot_time: Callable[[], float] = boot_time,
    ) -> None:
        self._manager = manager
        self._busy = busy
        self._again = again
        self._out = out
        self._path = path
        self._configuration = configuration or Configuration()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="prune")
        self._pruning: Future[list[Path]] | None = None
        self._pruned = -PRUNE_SECONDS
        self._boot_time = boot_time
        self._booted = boot_time()
        self._jumped = False

    def tick(self) -> None:
        """What is due."""
        self._manager.alive()
        if self._again.is_set():
            self._again.clear()
            self._reload()
        limits = self._limits()
        idle = self._pruning is None or self._pruning.done()
        if limits and self._out is not None and idle and time.monotonic() - self._pruned >= PRUNE_SECONDS:
            self._pruned = time.monotonic()
            self._pruning = self._pool.submit(prune, self._out, limits, self._busy())

    def close(self) -> None:
        """Nothing is removed any more."""
        self._manager.stopping()
        self._pool.shutdown()

    def _limits(self) -> Limits:
        """By age nothing goes once the clock has been set: recordings would be as old as it jumped."""
        limits = limits_of(self._configuration)
        jump = self._boot_time() - self._booted
        if not limits.seconds or abs(jump) < JUMP_SECONDS:
            return limits
        if not self._jumped:
            self._jumped = True
            _log.warning(
                "the clock was set by %+.0f s: nothing goes by its age until the configuration is read again",
                jump,
            )
        return replace(limits, seconds=0.0)

    def _reload(self) -> None:
        """Take what can change while the service runs; a file that is wrong changes nothing."""
        if self._path is None:
            return
        self._manager.reloading()
        try:
            found = read(self._path)
            self._check_place(found)
        except UsageError as error:
            _log.error("the configuration stays as it was: %s", error)
        else:
            before, self._configuration = self._configuration, found
            for name in _unlike(before, found):
                _log.warning("%s has changed: it takes effect when the service is started again", name)
            self._pruned = -PRUNE_SECONDS
            self._booted, self._jumped = self._boot_time(), False
            _log.warning("read %s again", self._path)
        self._manager.ready("observing")

    def _check_place(self, found: Configuration) -> None:
        """UsageError where recordings would go to another directory, which cannot be written."""
        directory = found.record.directory
        if directory and directory != self._configuration.record.directory:
            check_directory(Path(directory), "record.directory", may_be_full=limits_of(found) != Limits())


def _unlike(one: Configuration, other: Configuration) -> list[str]:
    """Options that differ and cannot change while the service runs."""
    return [
        f"{section.name}.{option.name}"
        for section in fields(one)
        for option in fields(getattr(one, section.name))
        if getattr(getattr(one, section.name), option.name) != getattr(getattr(other, section.name), option.name)
        and not option.metadata["live"]
    ]
