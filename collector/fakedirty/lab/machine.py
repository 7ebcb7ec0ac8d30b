"""One QEMU of the laboratory: started in a network namespace, and gone when the ``with`` block is."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from fakedirty.errors import LabError, QmpError
from fakedirty.linux.process import running
from fakedirty.qmp.client import Qmp

from .leak_sanitizer import let_end, looks_for_leaks
from .network import End
from .qemu import firmware_arguments

START_SECONDS = 30.0  # generous: a loaded machine loads QEMU slowly
STDERR_BYTES = 2000

# A machine with as little as the guests need: what is not there writes to no page.
BARE = ("-nodefaults", "-no-user-config", "-display", "none")

INCOMING = ("-S", "-incoming", "defer")  # stays stopped after the switchover, for its memory to be compared
RUNNING = ("-incoming", "defer")  # goes on after the switchover, and fetches what it lacks in postcopy


@dataclass(frozen=True, slots=True)
class Machine:
    """A running QEMU. `qmp` is the laboratory's connection; `observer_socket` is free for another."""

    name: str
    process: subprocess.Popen[bytes]
    end: End | None
    directory: Path
    qmp: Qmp
    observer_socket: Path

    @property
    def pid(self) -> int:
        """QEMU's own process id."""
        return self.process.pid

    def check_alive(self) -> None:
        """Raise LabError with QEMU's last words if it has ended."""
        if (status := self.process.poll()) is not None:
            raise LabError(f"the QEMU of {self.name} ended with status {status}{_last_words(self.directory)}")


@contextmanager
def machine(
    name: str,
    qemu: Path,
    arguments: Sequence[str] = (),
    *,
    accelerator: str = "tcg",
    end: End | None = None,
) -> Iterator[Machine]:
    """Start `qemu` as the guest `name`, at `end` of a network if one is given.

    `arguments` are the guest's (memory, kernel, serial log). Sockets and QEMU's standard error live in a
    directory of their own, removed with the machine. QEMU is killed at the end of the block, unless it has
    LeakSanitizer: then it quits. It is killed when this process ends in any way, so start machines in a
    thread that outlives them.
    """
    if not (program := shutil.which(qemu)):
        raise LabError(f"there is no QEMU at {qemu}: 'fakedirty qemu path' names the one that is built")
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fakedirty-")))
        sockets = [directory / "lab.qmp", directory / "observer.qmp"]
        command = [*(end.prefix if end else ()), "setpriv", "--pdeathsig", "KILL", "--", program]
        command += ["-name", f"guest={name},debug-threads=on", "-accel", accelerator, *BARE]
        command += firmware_arguments()
        command += [word for path in sockets for word in ("-qmp", f"unix:{path},server=on,wait=off")]
        process = stack.enter_context(_process([*command, *arguments], directory))
        qmp = stack.enter_context(_connected(process, sockets[0], name, directory))
        yield Machine(name, process, end, directory, qmp, sockets[1])
        if process.poll() is None and looks_for_leaks(process.pid):
            let_end(process, qmp)


@contextmanager
def _process(command: Sequence[str], directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    """QEMU itself; both prefixes replace themselves by it, so the pid is QEMU's."""
    with (directory / "stderr.log").open("wb") as log:
        try:
            # Python has SIGXFSZ ignored, and so has QEMU then: a file that may not grow is an error, not the end of it
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, restore_signals=False)
        except FileNotFoundError as error:
            raise LabError(f"{error.filename} is not installed: apt-get install util-linux") from error
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _connected(process: subprocess.Popen[bytes], socket: Path, name: str, directory: Path) -> Qmp:
    """The first QMP connection, as soon as QEMU has made the socket."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            return _proven(Qmp.connect(socket, timeout=START_SECONDS), process.pid)
        except QmpError as error:  # absent, or bound and not yet listened at
            if process.poll() is not None:
                said = f"ended with status {process.returncode}"
            elif time.monotonic() > deadline:
                said = f"did not open its QMP socket ({error})"
            else:
                time.sleep(0.02)
                continue
        raise LabError(f"the QEMU of {name} {said}{_last_words(directory)}")


def _proven(qmp: Qmp, pid: int) -> Qmp:
    """The connection, if it leads to the process that was started, or to one that it started in its turn."""
    if any(qmp.leads_to(running(each), by_threads=False) for each in _family(pid)):
        return qmp
    qmp.close()
    raise QmpError(f"another process than {pid} answers there")


def _family(pid: int, proc: Path = Path("/proc")) -> Iterator[int]:
    """A process and those that come of it."""
    yield pid
    for child in (proc / str(pid) / "task" / str(pid) / "children").read_text().split():
        yield from _family(int(child), proc)


def _last_words(directory: Path) -> str:
    """What QEMU wrote to its standard error, ready to follow a sentence."""
    text = (directory / "stderr.log").read_bytes()[-STDERR_BYTES:].decode(errors="replace").strip()
    return f": {text}" if text else ", saying nothing"
