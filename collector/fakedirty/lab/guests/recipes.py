"""The ground-truth guests: a table of them, and each one built and ready to be given to QEMU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fakedirty.errors import UsageError

from .build import built
from .workload import Workload, baremetal_words, linux_words

# Without KVM's paravirtual clock, which the firmware would turn on: KVM itself writes that page, on either side.
MACHINE = ("-machine", "pc", "-cpu", "qemu64,kvm=off")


@dataclass(frozen=True, slots=True)
class Guest:
    """A guest that knows which of its pages are fake.

    `boot` are the QEMU options that take a file of the build; `words` writes a workload as its command
    line; `exact` says whether it writes nothing but its sets and its own frames.
    """

    name: str
    boot: tuple[tuple[str, str], ...]
    words: Callable[[Workload], str]
    exact: bool
    ready_seconds: float  # generous: under a loaded TCG, or an emulating KVM


GUESTS = {
    guest.name: guest
    for guest in (
        Guest("baremetal", (("-kernel", "kernel"),), baremetal_words, exact=True, ready_seconds=120),
        Guest("linux", (("-kernel", "kernel"), ("-initrd", "initrd")), linux_words, exact=False, ready_seconds=240),
    )
}


@dataclass(frozen=True, slots=True)
class BuiltGuest:
    """A guest whose files are in `directory`."""

    guest: Guest
    directory: Path

    def qemu_arguments(self, workload: Workload, serial_path: Path) -> list[str]:
        """The machine, its memory and the guest; accelerator, monitor and display are for the caller.

        QEMU truncates `serial_path`, so source and destination need one each. A guest that crashes ends QEMU.
        """
        arguments = [*MACHINE, "-m", str(workload.memory_mib), "-no-reboot"]
        for option, file in self.guest.boot:
            arguments += [option, str(self.directory / file)]
        return [*arguments, "-append", self.guest.words(workload), "-serial", f"file:{serial_path}"]


def build_guest(name: str, cache: Path | None = None, sources: Path | None = None) -> BuiltGuest:
    """Guest `name`, built unless it is cached. UsageError lists the guests if there is none of that name."""
    guest = GUESTS.get(name)
    if guest is None:
        raise UsageError(f"there is no guest {name!r}, only {', '.join(GUESTS)}")
    return BuiltGuest(guest, built(name, [file for _, file in guest.boot], sources, cache))
