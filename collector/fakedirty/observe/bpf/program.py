"""bcc, and all of bcc that the project uses: compile probe files, load their programs, read and change their maps.

Programs are attached by :mod:`fakedirty.observe.bpf.uprobe`.
"""

from __future__ import annotations

import ctypes
import errno
import os
import select
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from fakedirty.errors import MissingError
from fakedirty.linux.descriptor_limit import demand_descriptors
from fakedirty.observe.host.headers import Headers
from fakedirty.package_files import carried

from .ring_buffer import RingBuffer
from .uprobe import BpfError, refusal

SOURCE_VARIABLE = "BCC_KERNEL_SOURCE"
_ARRAY, _INDEX_BYTES = 2, 4  # BPF_MAP_TYPE_ARRAY, and its key
_CLONE_FS = 0x200  # of unshare(2): working directory, root and umask
_libc = ctypes.CDLL(None, use_errno=True)

COMPILING = 96  # descriptors: clang opens headers by the dozen, and ends the process where it cannot

# bcc reads the environment, one compiler leaves the other cores to the guests, and in one thread its tens of megabytes
# are taken again from the same arena of malloc each time
_COMPILER = ThreadPoolExecutor(1, thread_name_prefix="compile")


class Bpf:
    """Files of ``probes/`` compiled as one, their programs and their maps."""

    def __init__(self, files: Sequence[str], headers: Headers, defines: Mapping[str, int], appended: str = "") -> None:
        try:
            import bcc
        except ImportError as error:
            raise MissingError("the Python module bcc is missing: install python3-bpfcc") from error
        demand_descriptors(COMPILING, "compiling probes")
        paths = [carried("probes", name) for name in files]
        cflags = [f"-I{paths[0].parent}", *headers.cflags, "-Wno-macro-redefined", "-Wno-duplicate-decl-specifier"]
        cflags += [f"-D{name}={value}" for name, value in defines.items()]
        self._bcc: Any = bcc
        self._rings: dict[str, RingBuffer] = {}
        self._poll = select.epoll()
        text = "\n".join([*(path.read_text() for path in paths), appended])
        try:
            self._module = _COMPILER.submit(_compile, bcc, text, cflags, headers).result()
        except Exception as error:  # bcc raises bare Exception
            self._poll.close()
            raise BpfError(f"{files[-1]} could not be compiled against {headers.where}: {error}") from error

    def program(self, function: str) -> int:
        """The descriptor of a program; it is loaded when it is first wanted."""
        try:
            loaded: int = self._module.load_func(function.encode(), self._bcc.BPF.KPROBE).fd
        except Exception as error:  # bcc raises bare Exception
            raise BpfError(f"the kernel refused the program {function}: {error}", ctypes.get_errno()) from error
        return loaded

    def map(self, name: str) -> BpfMap:
        """A map by its name in the probe files."""
        library, table = self._bcc.lib, self._module[name.encode()]
        # bcc declares this function nowhere
        size_of = ctypes.CFUNCTYPE(ctypes.c_size_t, ctypes.c_void_p, ctypes.c_size_t)(
            ("bpf_table_leaf_size_id", library)
        )
        return BpfMap(library, table.map_fd, name, size_of(self._module.module, table.map_id))

    def like(self, template: BpfMap) -> OwnMap:
        """A new array of one value, as the `template` is."""
        name = template.name.encode()
        descriptor = self._bcc.lib.bcc_create_map(_ARRAY, name, _INDEX_BYTES, template.value_bytes, 1, 0)
        if descriptor < 0:
            raise refusal(f"the kernel refused another map {template.name}", ctypes.get_errno() or errno.ENOMEM)
        return OwnMap(self._bcc.lib, descriptor, template.name, template.value_bytes)

    def open_rings(self, names: Sequence[str]) -> None:
        """Read these ring buffers from now on; of two, the first must be the one that depends on the second.

        The first wakes the reader whenever something waits in it, the others when the program says so.
        """
        for name in names:
            table = self._module[name.encode()]
            size = self._bcc.lib.bpf_table_max_entries_id(self._module.module, table.map_id)
            self._poll.register(table.map_fd, select.EPOLLIN | (select.EPOLLET if self._rings else 0))
            self._rings[name] = RingBuffer(table.map_fd, size)

    def fileno(self) -> int:
        """A descriptor that can be read while something waits in the ring buffers."""
        return self._poll.fileno()

    def take(self) -> dict[str, list[memoryview]]:
        """What the ring buffers hold, by ring buffer. Does not wait."""
        self._poll.poll(0)  # else the edge of the others stays pending
        # in the order of opening: whatever an event of the first ring rests on has been begun in the second by then
        first, *others = self._rings.items()
        return {first[0]: first[1].take(), **{name: ring.take_begun() for name, ring in others}}

    def close(self) -> None:
        """Unload everything; the maps go with it."""
        self._poll.close()
        for ring in self._rings.values():
            ring.close()
        self._rings.clear()
        self._module.cleanup()


class BpfMap:
    """A map, by keys and values as the kernel has them; a value has `value_bytes`."""

    def __init__(self, library: Any, descriptor: int, name: str, value_bytes: int) -> None:
        self.descriptor = descriptor
        self.name = name
        self.value_bytes = value_bytes
        self._library = library

    def insert(self, key: bytes, value: bytes) -> None:
        """A new entry, or another value; BpfError where the kernel has no room for it."""
        if self._library.bpf_update_elem(self.descriptor, key, value, 0) < 0:
            raise refusal(f"the kernel refused an entry of the map {self.name}", ctypes.get_errno() or errno.E2BIG)

    def value(self, key: bytes) -> bytes | None:
        """The value of a key; None where there is none."""
        found = ctypes.create_string_buffer(self.value_bytes)
        return found.raw if self._library.bpf_lookup_elem(self.descriptor, key, found) == 0 else None

    def delete(self, key: bytes) -> None:
        """Remove an entry, if it is there."""
        self._library.bpf_delete_elem(self.descriptor, key)

    def keys(self, size: int) -> Iterator[bytes]:
        """All keys, of `size` bytes. The one that was given last may be deleted meanwhile; others may come and go."""
        key, following = ctypes.create_string_buffer(size), ctypes.create_string_buffer(size)
        if self._library.bpf_get_first_key(self.descriptor, key, size) < 0:
            return
        while True:
            more = self._library.bpf_get_next_key(self.descriptor, key, following) == 0
            yield key.raw
            if not more:
                return
            key, following = following, key


class OwnMap(BpfMap):
    """A map that no probe file declares; it goes with its descriptor, and whatever else refers to it."""

    def close(self) -> None:
        """Let it go."""
        os.close(self.descriptor)


def _compile(bcc: Any, text: str, cflags: list[str], headers: Headers) -> Any:
    _leave_shared_directory()
    with _kernel_source(headers):
        return bcc.BPF(text=text.encode(), cflags=cflags)


def _leave_shared_directory() -> None:
    """Give the calling thread a working directory of its own.

    bcc changes to the directory of the kernel headers while it compiles. Other threads must not follow it: paths of
    recordings may be relative.
    """
    if _libc.unshare(_CLONE_FS):
        name = errno.errorcode.get(ctypes.get_errno(), "")
        raise BpfError(f"unshare(CLONE_FS) is refused ({name}), by a seccomp filter perhaps: the compiler needs it")


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
