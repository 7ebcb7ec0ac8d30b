"""The guest of services: real programs and a few of our own, which say ten times a second what they get done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .build import built
from .recipes import MACHINE

NAME = "services"
FILES = ("kernel", "initrd")
OWN_MIB = 160  # kernel, programs with their libraries, and the archive that they are unpacked from
SERIAL = "serial.log"  # what the kernel says, if anything
PORT = "service.log"  # what the program says


@dataclass(frozen=True, slots=True)
class Services:
    """The guest, built: its files are in `directory`."""

    directory: Path

    def qemu_arguments(self, memory_mib: int, words: Sequence[str], directory: Path) -> list[str]:
        """The machine, its memory and the guest, which runs the program and arguments in `words`.

        QEMU writes its files into `directory`: source and destination need one each. A guest that crashes ends QEMU.
        """
        kernel, initrd = (str(self.directory / file) for file in FILES)
        return [
            *(*MACHINE, "-m", str(memory_mib), "-no-reboot", "-kernel", kernel, "-initrd", initrd),
            *("-append", " ".join(["console=ttyS0 quiet loglevel=0 panic=-1 --", *words])),
            *("-serial", f"file:{directory / SERIAL}"),
            *("-device", "virtio-serial-pci", "-chardev", f"file,id=service,path={directory / PORT}"),
            *("-device", "virtserialport,chardev=service,name=fakedirty.service"),
        ]


def build_services(cache: Path | None = None, sources: Path | None = None) -> Services:
    """The guest, built unless it is cached. LabError carries what the build said."""
    return Services(built(NAME, FILES, sources, cache))
