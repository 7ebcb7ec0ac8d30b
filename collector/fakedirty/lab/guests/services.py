"""The guest of services: real programs and a few of our own, which report their operations ten times a second."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .build import cached_build
from .recipes import MACHINE

NAME = "services"
FILES = ("kernel", "initrd")
OWN_MIB = 160  # kernel, programs with their libraries, and the archive that they are unpacked from
SERIAL = "serial.log"  # messages of the kernel, if there are any
PORT = "service.log"  # reports of the program


@dataclass(frozen=True, slots=True)
class Services:
    """The built guest of services, whose files are in `directory`."""

    directory: Path

    def qemu_arguments(self, memory_mib: int, words: Sequence[str], directory: Path) -> list[str]:
        """The arguments for the machine, its memory and the guest.

        Args:
            memory_mib: the memory of the guest.
            words: the program that the guest runs, and its arguments.
            directory: where QEMU writes SERIAL and PORT. Source and destination need one each.
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
    """Build the guest unless it is cached; LabError with the output of the build if that fails."""
    return Services(cached_build(NAME, FILES, sources, cache))
