"""The work of a service beside observing: it removes old recordings, notifies its manager, reads its configuration."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from fakedirty.errors import UsageError
from fakedirty.record.output_checks import check_directory
from fakedirty.record.retention import Limits, prune

from .config import Configuration, restart_options
from .options import ConfigurationSource, limits_of
from .sd_notify import ServiceManager

PRUNE_SECONDS = 60.0  # between two searches for recordings that are too old, or too many
JUMP_SECONDS = 3600.0  # a clock that moves by this much has been set, and not corrected

_log = logging.getLogger(__name__)


def boot_time() -> float:
    """When the host was started, in seconds since 1970 by its present clock; another value once the clock was set."""
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)


class Maintenance:
    """:meth:`tick` does what is due; the thread that waits for the end of the service calls it again and again.

    Args:
        manager: The service manager to notify.
        in_use: Gives the directories below `out` that are being written.
        again: Set when the configuration is to be read again.
        out: The directory of the recordings; None where there are none.
        source: Where to read the configuration again.
        configuration: The values in force.
        boot_time: Gives the time at which the host was started.
    """

    def __init__(
        self,
        manager: ServiceManager,
        in_use: Callable[[], Collection[Path]],
        again: threading.Event,
        *,
        out: Path | None = None,
        source: ConfigurationSource | None = None,
        configuration: Configuration | None = None,
        boot_time: Callable[[], float] = boot_time,
    ) -> None:
        self._manager = manager
        self._in_use = in_use
        self._again = again
        self._out = out
        self._source = source or ConfigurationSource()
        self._configuration = configuration or Configuration()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="prune")
        self._pruning: Future[None] | None = None
        self._pruned = -PRUNE_SECONDS
        self._boot_time = boot_time
        self._booted = boot_time()
        self._jumped = False

    def tick(self) -> None:
        """Do what is due. Nothing in it takes long."""
        self._manager.alive()
        if self._again.is_set():
            self._again.clear()
            self._reload()
        limits = self._limits()
        idle = self._pruning is None or self._pruning.done()
        if limits and self._out is not None and idle and time.monotonic() - self._pruned >= PRUNE_SECONDS:
            self._pruned = time.monotonic()
            self._pruning = self._pool.submit(_prune, self._out, limits, self._in_use())

    def close(self) -> None:
        """Remove nothing any more, and notify the manager that the service ends."""
        self._manager.stopping()
        self._pool.shutdown()

    def _limits(self) -> Limits:
        """The limits in force; without the age once the clock was set, as all recordings may look too old then."""
        limits = limits_of(self._configuration)
        jump = self._boot_time() - self._booted
        if not limits.seconds or abs(jump) < JUMP_SECONDS:
            return limits
        if not self._jumped:
            self._jumped = True
            _log.warning(
                "the clock was set by %+.0f s: recordings do not expire until the configuration is read again",
                jump,
            )
        return replace(limits, seconds=0.0)

    def _reload(self) -> None:
        """Take over the options that can change while the service runs; a file that is refused changes nothing."""
        if self._source.file is None:
            return
        self._manager.reloading()
        try:
            found = self._source.read()
            self._check_directory(found)
        except UsageError as error:
            _log.error("the configuration stays as it was: %s", error)
        else:
            before, self._configuration = self._configuration, found
            for name in restart_options(before, found):
                _log.warning("%s has changed: it takes effect when the service is started again", name)
            self._pruned = -PRUNE_SECONDS
            self._booted, self._jumped = self._boot_time(), False
            _log.info("read %s again", self._source.file)
        self._manager.ready("observing")

    def _check_directory(self, found: Configuration) -> None:
        """UsageError where another directory is configured for recordings, and cannot be written."""
        directory = found.record.directory
        if directory and directory != self._configuration.record.directory:
            check_directory(Path(directory), "record.directory", may_be_full=limits_of(found) != Limits())


def _prune(out: Path, limits: Limits, in_use: Collection[Path]) -> None:
    for path in prune(out, limits, in_use):
        _log.info("removed the recording %s: it was beyond the limits", path)
