"""CPU time of QEMU's threads, by what they do. It is read again and again: threads of a migration end with it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

POLL_SECONDS = 0.05  # the last CPU time of a thread, up to so much, may be missing

MIGRATION, VCPUS = "migration", "vcpus"
#: how names of threads begin (debug-threads=on), in all releases of QEMU; the kernel keeps 15 characters
PREFIXES = {
    "mig/src/": MIGRATION,
    "live_migration": MIGRATION,
    "multifdsend_": MIGRATION,
    "CPU ": VCPUS,
    "ALL CPUs": VCPUS,
}


class ThreadTimes:
    """Seconds on a CPU since the first look, by what threads do.

    Args:
        pid: process id of QEMU.
        proc: where procfs is mounted.
    """

    def __init__(self, pid: int, proc: Path = Path("/proc")) -> None:
        self._tasks = proc / str(pid) / "task"
        self._first: dict[str, float] = {}
        self._last: dict[str, tuple[str, float]] = {}
        self._begun = False

    def look(self) -> None:
        """Read the time of every thread. A thread that is new since the first look counts from 0."""
        for task in self._listed():
            try:
                name = (task / "comm").read_text().rstrip("\n")
                seconds = int((task / "schedstat").read_text().split()[0]) / 1e9
            except (OSError, IndexError):  # the thread has just ended
                continue
            does = next((does for prefix, does in PREFIXES.items() if name.startswith(prefix)), None)
            if does is not None:
                self._first.setdefault(task.name, 0.0 if self._begun else seconds)
                self._last[task.name] = does, seconds
        self._begun = True

    def _listed(self) -> list[Path]:
        try:
            return list(self._tasks.iterdir())
        except OSError:  # the process has ended
            return []

    def seconds(self, does: str) -> float | None:
        """Seconds of all threads that do this.

        Args:
            does: MIGRATION or VCPUS.

        Returns:
            None if there was no such thread.
        """
        own = [seconds - self._first[task] for task, (what, seconds) in self._last.items() if what == does]
        return sum(own) if own else None


@contextmanager
def thread_times(pid: int) -> Iterator[ThreadTimes]:
    """Read the threads of a process again and again while the block runs."""
    times = ThreadTimes(pid)
    times.look()
    stop = threading.Event()

    def follow() -> None:
        while not stop.wait(POLL_SECONDS):
            times.look()

    thread = threading.Thread(target=follow, name="thread times")
    thread.start()
    try:
        yield times
    finally:
        stop.set()
        thread.join()
