"""A thread of QEMU that is held where it writes a trace event, while the other threads go on."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from migrating import wait

LONGER_THAN_A_TEST = 3600  # seconds; it is let go before
WRITE = 1  # the system call, on x86-64


def thread_of(pid: int, name: str) -> int | None:
    """The id of the thread of that name, if it is there already."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        if (thread / "comm").read_text().strip() == name:
            return int(thread.name)
    return None


class Log:
    """QEMU's log of trace events, a file for each thread: no thread waits for another that is held while it writes."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def arguments(self, event: str) -> list[str]:
        """QEMU's options for that: nothing but this event is in the log."""
        return ["-d", "tid", "-D", str(self._directory / "log-%d"), "-trace", event]

    def of(self, thread: int) -> Path:
        """The file of a thread."""
        return self._directory / f"log-{thread}"


@contextmanager
def held(pid: int, thread: int, log: Log, said: Path) -> Iterator[None]:
    """Within the block, a thread that comes to its traced event stays there. strace writes to `said`."""
    delay = f"inject=write:delay_enter={LONGER_THAN_A_TEST * 1_000_000}"
    command = ["strace", "-p", str(thread), "-P", str(log.of(thread)), "-e", "trace=write", "-e", delay]
    with said.open("w") as output:
        tracer = subprocess.Popen(command, stderr=output)
    try:
        wait(lambda: "attached" in said.read_text() or tracer.poll() is not None)
        assert tracer.poll() is None, said.read_text()
        yield
        assert is_held(pid, thread), said.read_text()
    finally:
        tracer.terminate()  # it lets go of the thread
        tracer.wait()


def is_held(pid: int, thread: int) -> bool:
    """Whether the thread is stopped where it is to write."""
    task = Path(f"/proc/{pid}/task/{thread}")
    stopped = (task / "stat").read_text().rpartition(")")[2].split()[0] == "t"
    return stopped and (task / "syscall").read_text().startswith(f"{WRITE} ")
