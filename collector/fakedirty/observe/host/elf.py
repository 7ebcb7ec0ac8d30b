"""What probes need of an executable: functions by name, USDT locations, its build id.

Addresses are as linked. :meth:`Binary.offset` makes the file offset of one, which the kernel wants.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import NoteSection

from fakedirty.errors import TargetError

# Elf64_Sym
_SYMBOL = np.dtype(
    [("name", "<u4"), ("info", "u1"), ("other", "u1"), ("section", "<u2"), ("address", "<u8"), ("size", "<u8")]
)

_KIND, _FUNCTION = 0xF, 2  # of `info`


@dataclass(frozen=True, slots=True)
class Symbol:
    """A function or object, as linked."""

    name: str
    address: int
    size: int


@dataclass(frozen=True, slots=True)
class UsdtLocation:
    """One place where a USDT probe fires. `semaphore` is the address of its semaphore; 0: it has none."""

    name: str
    address: int
    semaphore: int
    arguments: str


class Binary:
    """An ELF executable for x86-64, open until :meth:`close`. ``/proc/PID/exe`` can be opened even if it was deleted.

    Raises:
        TargetError: the file cannot be read, or is none.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = path.open("rb")
            self._elf = ELFFile(self._file)
        except (OSError, ELFError) as error:
            raise TargetError(f"{path} cannot be read as an ELF executable: {error}") from error
        if self._elf["e_machine"] != "EM_X86_64":
            self._file.close()
            raise TargetError(f"{path} is built for {self._elf.get_machine_arch()}; probes support only x86-64")

    def symbol(self, name: str) -> Symbol | None:
        """The defined symbol of a name, or None. If the file is stripped, only exported symbols are found."""
        for entries, strings in self._tables:
            # an executable has some 100,000 symbols: search for the name, do not read each of them
            for match in re.finditer(re.escape(name.encode()) + b"\0", strings):
                for entry in entries[entries["name"] == match.start()]:
                    if entry["section"] and entry["address"]:
                        return Symbol(name, int(entry["address"]), int(entry["size"]))
        return None

    def functions(self) -> list[tuple[str, int]]:
        """The defined functions as (name, address), by address."""
        found = {}
        for entries, strings in self._tables:
            for entry in entries[(entries["info"] & _KIND == _FUNCTION) & (entries["section"] != 0)]:
                start = int(entry["name"])
                found[int(entry["address"])] = strings[start : strings.index(b"\0", start)].decode("ascii", "replace")
        return sorted(((name, address) for address, name in found.items()), key=lambda each: each[1])

    @cached_property
    def _tables(self) -> list[tuple[np.ndarray, bytes]]:
        tables = []
        for name in (".dynsym", ".symtab"):
            section = self._elf.get_section_by_name(name)
            if section is not None:
                strings = self._elf.get_section(section["sh_link"]).data()
                tables.append((np.frombuffer(section.data(), _SYMBOL), strings))
        return tables

    @cached_property
    def usdt(self) -> dict[str, list[UsdtLocation]]:
        """USDT locations of the provider ``qemu``, by the name of their probe."""
        section = self._elf.get_section_by_name(".note.stapsdt")
        base = self._elf.get_section_by_name(".stapsdt.base")
        found: dict[str, list[UsdtLocation]] = {}
        for description in _notes(section.data()) if section else ():
            address, noted_base, semaphore = struct.unpack_from("<QQQ", description)
            moved = base["sh_addr"] - noted_base if base else 0
            provider, name, arguments = (part.decode() for part in description[24:].split(b"\0")[:3])
            if provider == "qemu":
                location = UsdtLocation(name, address + moved, semaphore + moved if semaphore else 0, arguments)
                found.setdefault(name, []).append(location)
        return found

    @cached_property
    def build_id(self) -> str | None:
        """The linker's build id in hex, or None."""
        section = self._elf.get_section_by_name(".note.gnu.build-id")
        if not isinstance(section, NoteSection):
            return None
        return next((note["n_desc"] for note in section.iter_notes()), None)

    @cached_property
    def _segments(self) -> list[tuple[int, int, int]]:
        return [
            (segment["p_vaddr"], segment["p_filesz"], segment["p_offset"])
            for segment in self._elf.iter_segments("PT_LOAD")
        ]

    @property
    def base(self) -> int:
        """The linked address of the first byte that is mapped."""
        return min(address - address % 4096 for address, _size, _offset in self._segments)

    @property
    def entry(self) -> int:
        """The linked address at which a process begins; it never comes there again."""
        return int(self._elf["e_entry"])

    def offset(self, address: int) -> int:
        """The file offset of a linked address. Raises TargetError if no loaded part of the file has it."""
        for start, size, offset in self._segments:
            if start <= address < start + size:
                return int(address - start + offset)
        raise TargetError(f"{self.path}: address {address:#x} is in no loaded part of the file")

    def code_at(self, address: int, size: int) -> bytes:
        """`size` bytes at a linked address."""
        self._file.seek(self.offset(address))
        return self._file.read(size)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _notes(section: bytes) -> Iterator[bytes]:
    """The descriptions of a section of ELF notes."""
    position = 0
    while position + 12 <= len(section):
        name_size, size, _kind = struct.unpack_from("<III", section, position)
        start = position + 12 + -(-name_size // 4) * 4
        yield section[start : start + size]
        position = start + -(-size // 4) * 4
