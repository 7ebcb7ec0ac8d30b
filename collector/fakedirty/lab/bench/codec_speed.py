"""Speed and ratio of the codecs of multifd alone, in one thread, on pages of a guest.

They work as in multifd: one stream for all pages, at QEMU's default level, flushed after each packet.
"""

from __future__ import annotations

import ctypes
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from fakedirty.errors import LabError

LEVEL = 1  # the default of multifd-zstd-level and multifd-zlib-level
PACKET_BYTES = 512 * 1024  # of pages that multifd sends in one packet
PASSES = 3  # the fastest counts: other work of the host only makes a pass slower

Compress = Callable[[bytes], int]  # from a packet to the number of its compressed bytes, with a flush


@dataclass(frozen=True, slots=True)
class CodecSpeed:
    """The codec in one thread: uncompressed bytes for each compressed one, and uncompressed bytes per second."""

    ratio: float
    bytes_per_second: float


def measure_codec(name: str, content: bytes) -> CodecSpeed:
    """Measure codec `name` on `content`, which must not be empty; LabError if the library of the codec is missing."""
    packets = [content[at : at + PACKET_BYTES] for at in range(0, len(content), PACKET_BYTES)]
    fastest, compressed = float("inf"), 0
    for _ in range(PASSES):
        with CODECS[name]() as compress:
            start = time.perf_counter()
            compressed = sum(map(compress, packets))
            fastest = min(fastest, time.perf_counter() - start)
    return CodecSpeed(len(content) / compressed, len(content) / fastest)


@contextmanager
def _zlib() -> Iterator[Compress]:
    stream = zlib.compressobj(LEVEL)

    def compress(packet: bytes) -> int:
        return len(stream.compress(packet)) + len(stream.flush(zlib.Z_SYNC_FLUSH))

    yield compress


class _Buffer(ctypes.Structure):
    """ZSTD_inBuffer and ZSTD_outBuffer, which have the same layout."""

    _fields_ = (("at", ctypes.c_void_p), ("size", ctypes.c_size_t), ("done", ctypes.c_size_t))


_ZSTD = "libzstd.so.1"  # QEMU loads it too
_FLUSH = 1  # ZSTD_e_flush


@contextmanager
def _zstd() -> Iterator[Compress]:
    try:
        library = ctypes.CDLL(_ZSTD)
    except OSError as error:
        raise LabError(f"there is no {_ZSTD} here ({error}): apt-get install libzstd1") from error
    for function in (library.ZSTD_createCStream, library.ZSTD_initCStream, library.ZSTD_compressBound):
        function.restype = ctypes.c_size_t
    library.ZSTD_createCStream.restype = ctypes.c_void_p
    library.ZSTD_compressStream2.restype = ctypes.c_size_t
    stream = ctypes.c_void_p(library.ZSTD_createCStream())
    room = ctypes.create_string_buffer(library.ZSTD_compressBound(ctypes.c_size_t(PACKET_BYTES)))

    def compress(packet: bytes) -> int:
        source = _Buffer(ctypes.cast(ctypes.c_char_p(packet), ctypes.c_void_p), len(packet), 0)
        target = _Buffer(ctypes.cast(room, ctypes.c_void_p), len(room), 0)
        left = library.ZSTD_compressStream2(stream, ctypes.byref(target), ctypes.byref(source), ctypes.c_int(_FLUSH))
        if library.ZSTD_isError(ctypes.c_size_t(left)) or left:
            raise LabError(f"{_ZSTD} does not compress: it returned {left:#x}")
        return int(target.done)

    try:
        if library.ZSTD_isError(ctypes.c_size_t(library.ZSTD_initCStream(stream, ctypes.c_int(LEVEL)))):
            raise LabError(f"{_ZSTD} does not take level {LEVEL}")
        yield compress
    finally:
        library.ZSTD_freeCStream(stream)


CODECS = {"zstd": _zstd, "zlib": _zlib}
