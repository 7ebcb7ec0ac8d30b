"""One QEMU of the laboratory: it starts in a network namespace, and ends with the ``with`` block."""

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

# Only the devices that the guests need: a device that is not there writes to no page.
BARE = ("-nodefaults", "-no-user-config", "-display", "none")

INCOMING = ("-S", "-incoming", "defer")  # stays stopped after the switchover, so that its memory can be compared
RUNNING = ("-incoming", "defer")  # runs after the switchover, and fetches missing pages in postcopy


@dataclass(frozen=True, slots=True)
class Machine:
    """A running QEMU.

    Attributes:
        name: name of the guest.
        process: QEMU itself.
        end: its end of the network; None in the network of the host.
        directory: its sockets and its standard error.
        qmp: the connection of the laboratory.
        observer_socket: a second QMP socket, for an observer.
    """

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
        """Check that QEMU still runs.

        Raises:
            LabError: it has ended; the error has the end of its standard error.
        """
        if (status := self.process.poll()) is not None:
            raise LabError(f"the QEMU of {self.name} ended with status {status}{_stderr_end(self.directory)}")


@contextmanager
def machine(
    name: str,
    qemu: Path,
    arguments: Sequence[str] = (),
    *,
    accelerator: str = "tcg",
    end: End | None = None,
) -> Iterator[Machine]:
    """Start a QEMU. At the end of the block it is killed, or quits if it has LeakSanitizer.

    The kernel kills QEMU when the thread that started it ends in any way, so start a machine in a thread that outlives
    it.

    Args:
        name: name of the guest.
        qemu: the binary.
        arguments: those of the guest: memory, kernel, serial log.
        accelerator: QEMU's, `tcg` or `kvm`.
        end: the end of a network in which QEMU runs; None for the network of the host.

    Raises:
        LabError: QEMU does not start, or opens no QMP socket.
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
    """QEMU's process. Both prefixes of the command exec the rest of it, so the pid is QEMU's."""
    with (directory / "stderr.log").open("wb") as log:
        try:
            # Python ignores SIGXFSZ, and QEMU inherits that: a file that must not grow is an error, and not its end
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, restore_signals=False)
        except FileNotFoundError as error:
            raise LabError(f"{error.filename} is not installed: apt-get install util-linux") from error
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _connected(process: subprocess.Popen[bytes], socket: Path, name: str, directory: Path) -> Qmp:
    """Connect to QMP as soon as QEMU has made the socket."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            return _proven(Qmp.connect(socket, timeout=START_SECONDS), process.pid)
        except QmpError as error:  # the socket is absent, or QEMU does not listen yet
            if process.poll() is not None:
                problem = f"ended with status {process.returncode}"
            elif time.monotonic() > deadline:
                problem = f"did not open its QMP socket ({error})"
            else:
                time.sleep(0.02)
                continue
        raise LabError(f"the QEMU of {name} {problem}{_stderr_end(directory)}")


def _proven(qmp: Qmp, pid: int) -> Qmp:
    """The connection, if it leads to the process that was started or to a descendant of it."""
    if any(qmp.leads_to(running(each), by_threads=False) for each in _family(pid)):
        return qmp
    qmp.close()
    raise QmpError(f"another process than {pid} answers there")


def _family(pid: int, proc: Path = Path("/proc")) -> Iterator[int]:
    """A process and its descendants."""
    yield pid
    for child in (proc / str(pid) / "task" / str(pid) / "children").read_text().split():
        yield from _family(int(child), proc)


def _stderr_end(directory: Path) -> str:
    """The end of QEMU's standard error, to follow a sentence."""
    text = (directory / "stderr.log").read_bytes()[-STDERR_BYTES:].decode(errors="replace").strip()
    return f": {text}" if text else ", and wrote nothing to its standard error"
