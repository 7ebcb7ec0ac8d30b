"""All probes of this process: one attachment for each build of QEMU, and the thread that reads their events."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Callable, Iterable, Sequence

from fakedirty.linux.descriptor_limit import DESCRIPTORS_OF_A_QEMU, demand_descriptors
from fakedirty.linux.uprobe import BpfError
from fakedirty.observe.host.executable_plans import ExecutablePlans
from fakedirty.observe.host.target import Target, find_all

from .attach_point import PlacedProbe
from .attachment import Attachment, Build
from .destinations import Destinations
from .dispatcher import Dispatcher
from .feed import ProcessFeed

REFUSED_SECONDS = 30.0  # from a refusal until the build is tried again
MAPS = 12  # file descriptors for the maps and ring buffers of a build

_OF_THE_PROCESS = (errno.ENOENT, errno.ESRCH)  # refusals that concern one process alone


class Attachments:
    """One attachment for each build and its options.

    Args:
        every_process: attach probes to executables; False: to the observed process alone.
        find: finds the QEMUs of this host, some of which may be destinations.
    """

    def __init__(self, every_process: bool = False, find: Callable[[], Iterable[Target]] = find_all) -> None:
        self.plans = ExecutablePlans()
        self.find = find
        self._every_process = every_process
        self._lock = threading.Lock()
        self._by_build: dict[object, Attachment] = {}
        self._refused: dict[object, tuple[float, BpfError]] = {}  # when, and why, by build
        self._destinations = Destinations()
        self._dispatcher: Dispatcher | None = None

    @property
    def dispatcher(self) -> Dispatcher:
        """The thread that reads. It is started when it is first used."""
        if self._dispatcher is None:
            self._dispatcher = Dispatcher()
        return self._dispatcher

    def observe(self, target: Target, build: Build, placed: Sequence[PlacedProbe]) -> tuple[Attachment, ProcessFeed]:
        """Attach the programs of a build to a process, and let them count for it. Compiles them if needed.

        Raises:
            TargetError: no process fits any more.
            BpfError: the compiler or the kernel refused a probe.
            DescriptorLimitError: too few file descriptors would be left.
        """
        with self._lock:
            demand_descriptors(DESCRIPTORS_OF_A_QEMU, f"observing {target.program} (pid {target.pid})")
            attachment = self._by_build.get(build)
            fresh = attachment is None
            if attachment is None:
                self._check_refusal(build)
                demand_descriptors(MAPS + 2 * len(placed), f"attaching to {target.program}")
            try:
                attachment = attachment or Attachment(build, self.dispatcher, self._every_process, self._destinations)
                feed = attachment.admit(target, placed)
            except BaseException as error:
                if isinstance(error, BpfError) and error.errno not in _OF_THE_PROCESS:
                    self._refused[build] = time.monotonic(), error
                if fresh and attachment is not None:
                    attachment.close()
                raise
            self._by_build[build] = attachment
        try:
            attachment.enter(target, feed)
        except BaseException:
            self.release(attachment, feed, (target.pid,))
            raise
        return attachment, feed

    def _check_refusal(self, build: Build) -> None:
        """Raise the error of a build that was refused a moment ago, instead of compiling it for each of its QEMUs."""
        when, error = self._refused.get(build, (-REFUSED_SECONDS, None))
        if error is not None and time.monotonic() - when < REFUSED_SECONDS:
            raise BpfError(str(error), error.errno)

    def release(self, attachment: Attachment, feed: ProcessFeed, pids: Iterable[int]) -> None:
        """Stop observing processes. The programs of a build are unloaded with its last process."""
        pids = tuple(pids)
        attachment.leave(feed, pids)
        with self._lock:
            attachment.release(feed, pids)
            if not attachment.processes:
                attachment.close()
                self._by_build = {key: each for key, each in self._by_build.items() if each is not attachment}

    def close(self) -> None:
        """End the thread. All processes must have been released."""
        if self._dispatcher is not None:
            self._dispatcher.close()
            self._dispatcher = None
