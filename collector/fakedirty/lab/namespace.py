"""Network namespaces without a name: each lives as long as a process of this one, and ends with it, also by SIGKILL."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from fakedirty.errors import LabError


@dataclass(frozen=True, slots=True)
class Namespace:
    """A network namespace, by the id of the process that keeps it."""

    pid: int

    @property
    def prefix(self) -> tuple[str, ...]:
        """The words in front of a command that is to run in it. They exec it, so the pid stays the same."""
        return ("nsenter", f"--net=/proc/{self.pid}/ns/net", "--")

    def run(self, *command: str) -> str:
        """Run `command` in it; its standard output. LabError if the command fails or is not installed."""
        return _run(*self.prefix, *command)


@contextmanager
def namespace() -> Iterator[Namespace]:
    """A new namespace, which lives while the block runs: a ``cat`` in it waits on a pipe from this process.

    Raises:
        LabError: this user is not root, or a tool is missing.
    """
    pipe = subprocess.PIPE
    try:
        keeper = subprocess.Popen(("unshare", "--net", "cat"), bufsize=0, stdin=pipe, stdout=pipe, stderr=pipe)
    except FileNotFoundError as error:
        raise LabError(f"{error.filename} is not installed: apt-get install util-linux") from error
    with keeper:
        try:
            _echo(keeper)
            yield Namespace(keeper.pid)
        finally:
            keeper.kill()


def _echo(keeper: subprocess.Popen[bytes]) -> None:
    """Wait until `keeper` has its namespace: only then does it echo a line."""
    assert keeper.stdin
    assert keeper.stdout
    assert keeper.stderr
    try:
        keeper.stdin.write(b"\n")
        keeper.stdin.flush()
        echo = keeper.stdout.readline()
    except BrokenPipeError:
        echo = b""
    if not echo:
        reason = keeper.stderr.read().decode(errors="replace").strip()
        raise LabError(f"cannot make a network namespace ({reason}): the laboratory needs root")


def _run(*command: str) -> str:
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout
    except FileNotFoundError as error:
        raise LabError(f"{error.filename} is not installed: apt-get install iproute2 util-linux") from error
    except subprocess.CalledProcessError as error:
        hint = ": this kernel lacks sch_tbf" if "tbf" in command and "qdisc" in error.stderr.lower() else ""
        raise LabError(f"'{' '.join(command)}' failed{hint}: {error.stderr.strip()}") from error
