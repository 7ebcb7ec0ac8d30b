"""What one thread compresses, and by how much: the codecs of multifd alone, on pages as a guest has them.

They are used as multifd does: one stream for all pages, at QEMU's default level, flushed after each packet.
"""

from __future__ import annotations

import ctypes
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from fakedirty.errors import LabError

LEVEL = 1  # of multifd-zstd-level and multifd-zlib-level, where nothing else is set
PACKET_BYTES = 512 * 1024  # of pages that multifd sends together
PASSES = 3  # of which the fastest counts: other work only makes it slower

Compress = Callable[[bytes], int]  # bytes that a packet is compressed to, the stream flushed


@dataclass(frozen=True, slots=True)
class CodecSpeed:
    """Of one thread, with nothing but the codec: bytes in for a byte out, and bytes in for a second."""

    ratio: float
    bytes_per_second: float


def measure_codec(name: str, content: bytes) -> CodecSpeed:
    """Compress `content`, which must not be empty. LabError where the codec's library is missing."""
    packets = [content[at : at + PACKET_BYTES] for at in range(0, len(content), PACKET_BYTES)]
    fastest, compressed = float("inf"), 0
    for _ in range(PASSES):
        with CODECS[name]() as compress:
            began = time.perf_counter()
            compressed = sum(map(compress, packets))
            fastest = min(fastest, time.perf_counter() - began)
    return CodecSpeed(len(content) / compressed, len(content) / fastest)


@contextmanager
def _zlib() -> Iterator[Compress]:
    stream = zlib.compressobj(LEVEL)

    def compress(packet: bytes) -> int:
        return len(stream.compress(packet)) + len(stream.flush(zlib.Z_SYNC_FLUSH))

    yield compress


class _Buffer(ctypes.Structure):
    """ZSTD_inBuffer and ZSTD_outBuffer, which are alike."""

    _fields_ = (("at", ctypes.c_void_p), ("size", ctypes.c_size_t), ("done", ctypes.c_size_t))


_ZSTD = "libzstd.so.1"  # a QEMU that compresses with zstd loads it too
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
        given = _Buffer(ctypes.cast(ctypes.c_char_p(packet), ctypes.c_void_p), len(packet), 0)
        taken = _Buffer(ctypes.cast(room, ctypes.c_void_p), len(room), 0)
        left = library.ZSTD_compressStream2(stream, ctypes.byref(taken), ctypes.byref(given), ctypes.c_int(_FLUSH))
        if library.ZSTD_isError(ctypes.c_size_t(left)) or left:
            raise LabError(f"{_ZSTD} does not compress: it returned {left:#x}")
        return int(taken.done)

    try:
        if library.ZSTD_isError(ctypes.c_size_t(library.ZSTD_initCStream(stream, ctypes.c_int(LEVEL)))):
            raise LabError(f"{_ZSTD} does not take level {LEVEL}")
        yield compress
    finally:
        library.ZSTD_freeCStream(stream)


CODECS = {"zstd": _zstd, "zlib": _zlib}
