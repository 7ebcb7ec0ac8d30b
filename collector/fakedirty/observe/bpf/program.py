"""Compile probe files with bcc, load their programs, and read and change their maps. No other module uses bcc.

:mod:`fakedirty.linux.uprobe` attaches the programs.
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
from fakedirty.linux import libc
from fakedirty.linux.descriptor_limit import demand_descriptors
from fakedirty.linux.uprobe import BpfError, refusal
from fakedirty.observe.host.headers import COMPILER_DESCRIPTORS, Headers
from fakedirty.package_files import carried

from .ring_buffer import RingBuffer

SOURCE_VARIABLE = "BCC_KERNEL_SOURCE"
_ARRAY, _INDEX_BYTES = 2, 4  # BPF_MAP_TYPE_ARRAY, and the size of its keys

# One thread compiles everything. bcc reads the environment, which is one for all threads. A second compiler would take
# another core from the guests. And malloc takes a compiler's tens of megabytes from an arena of its thread: in one
# thread, from the same arena each time.
_COMPILER = ThreadPoolExecutor(1, thread_name_prefix="compile")


class Bpf:
    """Files of ``probes/`` compiled as one, their programs and their maps.

    Args:
        files: their names below ``probes/``, in the order in which their texts are joined.
        headers: kernel headers to compile against.
        defines: macros and their values.
        appended: C text that comes after the files.

    Raises:
        MissingError: bcc or a file is missing, or too few file descriptors are left.
        BpfError: the text could not be compiled.
    """

    def __init__(self, files: Sequence[str], headers: Headers, defines: Mapping[str, int], appended: str = "") -> None:
        try:
            import bcc
        except ImportError as error:
            raise MissingError("the Python module bcc is missing: install python3-bpfcc") from error
        demand_descriptors(COMPILER_DESCRIPTORS, "compiling probes")
        directory = carried("probes")
        # the compiler names a file and a line of it in its messages
        texts = [f'#line 1 "probes/{name}"\n{(directory / name).read_text()}' for name in files]
        text = "\n".join([*texts, f'#line 1 "appended"\n{appended}'])
        cflags = [f"-I{directory}", *headers.cflags, "-Wno-macro-redefined", "-Wno-duplicate-decl-specifier"]
        cflags += [f"-D{name}={value}" for name, value in defines.items()]
        self._bcc: Any = bcc
        self._rings: dict[str, RingBuffer] = {}
        self._poll = select.epoll()
        try:
            self._module = _COMPILER.submit(_compile, bcc, text, cflags, headers).result()
        except Exception as error:  # bcc raises bare Exception
            self._poll.close()
            raise BpfError(f"the probes could not be compiled against {headers.where}: {error}") from error

    def program(self, function: str) -> int:
        """The descriptor of a program, which the first call loads. Raises BpfError where the kernel refuses it."""
        try:
            loaded: int = self._module.load_func(function.encode(), self._bcc.BPF.KPROBE).fd
        except Exception as error:  # bcc raises bare Exception
            raise BpfError(f"the kernel refused the program {function}: {error}", ctypes.get_errno()) from error
        return loaded

    def map(self, name: str) -> BpfMap:
        """The map that has this name in the probe files."""
        library, table = self._bcc.lib, self._module[name.encode()]
        # bcc does not declare this function
        size_of = ctypes.CFUNCTYPE(ctypes.c_size_t, ctypes.c_void_p, ctypes.c_size_t)(
            ("bpf_table_leaf_size_id", library)
        )
        return BpfMap(library, table.map_fd, name, size_of(self._module.module, table.map_id))

    def like(self, template: BpfMap) -> OwnMap:
        """A new array of one value, with the name and the value size of `template`."""
        name = template.name.encode()
        descriptor = self._bcc.lib.bcc_create_map(_ARRAY, name, _INDEX_BYTES, template.value_bytes, 1, 0)
        if descriptor < 0:
            raise refusal(f"the kernel refused another map {template.name}", ctypes.get_errno() or errno.ENOMEM)
        return OwnMap(self._bcc.lib, descriptor, template.name, template.value_bytes)

    def open_rings(self, names: Sequence[str]) -> None:
        """Read these ring buffers from now on.

        An event in the first one must follow what it depends on in the others. Every event in the first one wakes the
        reader; the others wake it when their program wants that.
        """
        for name in names:
            table = self._module[name.encode()]
            size = self._bcc.lib.bpf_table_max_entries_id(self._module.module, table.map_id)
            self._poll.register(table.map_fd, select.EPOLLIN | (select.EPOLLET if self._rings else 0))
            self._rings[name] = RingBuffer(table.map_fd, size)

    def fileno(self) -> int:
        """A descriptor that is readable while events wait in the ring buffers."""
        return self._poll.fileno()

    def take(self) -> dict[str, list[memoryview]]:
        """Take all events that wait, by the name of their ring buffer. Does not wait."""
        self._poll.poll(0)  # else the others, which are edge-triggered, stay ready
        # the first one first: what its events depend on is in the others by then, at least begun
        first, *others = self._rings.items()
        return {first[0]: first[1].take(), **{name: ring.take_begun() for name, ring in others}}

    def close(self) -> None:
        """Unload the programs and free the maps."""
        self._poll.close()
        for ring in self._rings.values():
            ring.close()
        self._rings.clear()
        self._module.cleanup()


class BpfMap:
    """A map of the kernel. Keys and values are bytes as the kernel has them; a value has `value_bytes`."""

    def __init__(self, library: Any, descriptor: int, name: str, value_bytes: int) -> None:
        self.descriptor = descriptor
        self.name = name
        self.value_bytes = value_bytes
        self._library = library

    def insert(self, key: bytes, value: bytes) -> None:
        """Add an entry, or replace its value. Raises BpfError where the kernel has no room for it."""
        if self._library.bpf_update_elem(self.descriptor, key, value, 0) < 0:
            raise refusal(f"the kernel refused an entry of the map {self.name}", ctypes.get_errno() or errno.E2BIG)

    def value(self, key: bytes) -> bytes | None:
        """The value of a key, or None if the map does not have it."""
        found = ctypes.create_string_buffer(self.value_bytes)
        return found.raw if self._library.bpf_lookup_elem(self.descriptor, key, found) == 0 else None

    def delete(self, key: bytes) -> None:
        """Remove the entry of a key, if there is one."""
        self._library.bpf_delete_elem(self.descriptor, key)

    def keys(self, size: int) -> Iterator[bytes]:
        """Yield all keys, of `size` bytes each. The caller may delete the key that was yielded last.

        Entries that others add or delete meanwhile may be yielded or left out.
        """
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
    """A map that no probe file declares. The kernel frees it when its descriptor and all other references are gone."""

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self.descriptor)


def _compile(bcc: Any, text: str, cflags: list[str], headers: Headers) -> Any:
    _leave_shared_directory()
    with _kernel_source(headers):
        return bcc.BPF(text=text.encode(), cflags=cflags)


def _leave_shared_directory() -> None:
    """Give the calling thread a working directory of its own.

    While bcc compiles, it changes to the directory of the kernel headers. Other threads must not follow: recordings may
    have relative paths.
    """
    try:
        libc.unshare(libc.CLONE_FS)
    except OSError as error:
        name = errno.errorcode.get(error.errno or 0, "")
        raise BpfError(
            f"the kernel refused unshare(CLONE_FS) ({name}), which the compiler needs: a seccomp filter may forbid it"
        ) from error


@contextmanager
def _kernel_source(headers: Headers) -> Iterator[None]:
    """Set the variable by which bcc finds the headers, while it compiles.

    It is unset again, because a set variable means that the user has chosen the headers.
    """
    if headers.source is None:
        yield
        return
    # only in the environment of the C library, which bcc reads: another thread may look for headers in os.environ
    os.putenv(SOURCE_VARIABLE, str(headers.source))
    try:
        yield
    finally:
        if (before := os.environ.get(SOURCE_VARIABLE)) is None:
            os.unsetenv(SOURCE_VARIABLE)
        else:
            os.putenv(SOURCE_VARIABLE, before)


def now_ns() -> int:
    """The time in ns by CLOCK_MONOTONIC, the clock of all events."""
    return time.monotonic_ns()
