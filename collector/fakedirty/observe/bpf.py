"""bcc, and all of bcc that the project uses: compile a probe file, attach, read ring buffers and counters.

Probes are attached through perf events that belong to this process: whatever ends it also detaches them and
lowers the semaphores.
"""

from __future__ import annotations

import ctypes
import os
import select
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from fakedirty.carried import carried
from fakedirty.errors import FakedirtyError, MissingError

from .headers import Headers
from .ring import Ring

SOURCE_VARIABLE = "BCC_KERNEL_SOURCE"
_ENTRY = 0  # BPF_PROBE_ENTRY

# bcc reads the environment, one compiler leaves the other cores to the guests, and in one thread its tens of megabytes
# are taken again from the same arena of malloc each time
_COMPILER = ThreadPoolExecutor(1, thread_name_prefix="compile")


class BpfError(FakedirtyError):
    """The kernel refused a probe."""


class Bpf:
    """Files of ``probes/`` compiled as one, their attached programs and their maps."""

    def __init__(self, files: Sequence[str], headers: Headers, defines: Mapping[str, int], appended: str = "") -> None:
        try:
            import bcc
        except ImportError as error:
            raise MissingError("the Python module bcc is missing: install python3-bpfcc") from error
        paths = [carried("probes", name) for name in files]
        cflags = [f"-I{paths[0].parent}", *headers.cflags, "-Wno-macro-redefined", "-Wno-duplicate-decl-specifier"]
        cflags += [f"-D{name}={value}" for name, value in defines.items()]
        self._bcc: Any = bcc
        self._attached: list[int] = []
        self._rings: dict[str, Ring] = {}
        self._poll = select.epoll()
        text = "\n".join([*(path.read_text() for path in paths), appended])
        try:
            self._module = _COMPILER.submit(_compile, bcc, text, cflags, headers).result()
        except Exception as error:  # bcc raises bare Exception
            raise BpfError(f"{files[-1]} could not be compiled against {headers.where}: {error}") from error
        # bcc 0.26 declares six of the seven parameters, which leaves ref_ctr_offset to chance
        prototype = ctypes.CFUNCTYPE(
            *(ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_char_p),
            *(ctypes.c_uint64, ctypes.c_int, ctypes.c_uint32),
        )
        self._attach_uprobe = prototype(("bpf_attach_uprobe", bcc.lib))

    def attach(self, function: str, path: Path, offset: int, pid: int, semaphore: int = 0) -> None:
        """Run `function` where the file at `path` is executed at `offset` by the process.

        `semaphore` is the file offset of a USDT semaphore, which the kernel holds raised meanwhile.
        """
        program = self._load(function)
        name = f"fakedirty_{os.getpid()}_{pid}_{function}_{offset:x}".encode()
        descriptor = self._attach_uprobe(program.fd, _ENTRY, name, str(path).encode(), offset, pid, semaphore)
        if descriptor < 0:
            raise BpfError(f"the kernel refused to attach {function} to {path} at offset {offset:#x}")
        self._attached.append(descriptor)

    @property
    def attached(self) -> int:
        """How many programs are."""
        return len(self._attached)

    def _load(self, function: str) -> Any:
        try:
            return self._module.load_func(function.encode(), self._bcc.BPF.KPROBE)
        except Exception as error:  # bcc raises bare Exception
            raise BpfError(f"the kernel refused the program {function}: {error}") from error

    def open_rings(self, names: Sequence[str]) -> None:
        """Read these ring buffers from now on; of two, the first must be the one that depends on the second.

        The first wakes the reader whenever something waits in it, the others when the program says so.
        """
        for name in names:
            table = self._module[name.encode()]
            size = self._bcc.lib.bpf_table_max_entries_id(self._module.module, table.map_id)
            self._poll.register(table.map_fd, select.EPOLLIN | (select.EPOLLET if self._rings else 0))
            self._rings[name] = Ring(table.map_fd, size)

    def poll(self, timeout: float) -> dict[str, list[memoryview]]:
        """What the ring buffers hold, waiting for up to `timeout` seconds for the first of it."""
        self._poll.poll(timeout)
        # in the order of opening: whatever an event of the first ring rests on is in the second by then
        return {name: ring.take() for name, ring in self._rings.items()}

    def counters(self, name: str) -> list[int]:
        """The values of an array of counters."""
        table = self._module[name.encode()]
        return [int(table[ctypes.c_int(index)].value) for index in range(len(table))]

    def close(self) -> None:
        """Detach everything; the maps go with it."""
        for descriptor in self._attached:
            self._bcc.lib.bpf_close_perf_event_fd(descriptor)
        self._attached.clear()
        self._poll.close()
        for ring in self._rings.values():
            ring.close()
        self._rings.clear()
        self._module.cleanup()

    def __enter__(self) -> Bpf:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _compile(bcc: Any, text: str, cflags: list[str], headers: Headers) -> Any:
    with _kernel_source(headers):
        return bcc.BPF(text=text.encode(), cflags=cflags)


@contextmanager
def _kernel_source(headers: Headers) -> Iterator[None]:
    """Tell bcc where the headers are, for as long as it compiles: left set, it would pass for the user's wish."""
    if headers.source is None:
        yield
        return
    # in the C library's environment alone, which bcc reads: other threads look for headers meanwhile
    os.putenv(SOURCE_VARIABLE, str(headers.source))
    try:
        yield
    finally:
        if (before := os.environ.get(SOURCE_VARIABLE)) is None:
            os.unsetenv(SOURCE_VARIABLE)
        else:
            os.putenv(SOURCE_VARIABLE, before)


def now_ns() -> int:
    """The clock of all events: CLOCK_MONOTONIC in nanoseconds."""
    return time.monotonic_ns()
