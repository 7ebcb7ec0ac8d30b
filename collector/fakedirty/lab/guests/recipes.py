"""The ground-truth guests: a table of them, and the arguments that start a built one in QEMU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fakedirty.errors import UsageError

from .build import cached_build
from .workload import Workload, baremetal_words, linux_words

# without KVM's paravirtual clock, which the firmware would turn on: KVM itself writes its page, on both sides
MACHINE = ("-machine", "pc", "-cpu", "qemu64,kvm=off")


@dataclass(frozen=True, slots=True)
class Guest:
    """A guest that knows which of its pages are fake.

    `boot` has the QEMU options that take a file of the build, each with that file. `words` makes the guest's command
    line from a workload. An `exact` guest writes its page sets and its own frames, and no other page.
    """

    name: str
    boot: tuple[tuple[str, str], ...]
    words: Callable[[Workload], str]
    exact: bool
    ready_seconds: float  # generous, for a loaded TCG or a KVM that emulates


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
        """The arguments for the machine, its memory and the guest.

        Accelerator, monitor and display are left to the caller. QEMU truncates `serial_path`, so source and
        destination need one each. QEMU ends when the guest crashes.
        """
        arguments = [*MACHINE, "-m", str(workload.memory_mib), "-no-reboot"]
        for option, file in self.guest.boot:
            arguments += [option, str(self.directory / file)]
        return [*arguments, "-append", self.guest.words(workload), "-serial", f"file:{serial_path}"]


def build_guest(name: str, cache: Path | None = None, sources: Path | None = None) -> BuiltGuest:
    """Build guest `name` unless it is cached.

    Raises:
        UsageError: there is no guest of that name; the message lists those that there are.
        LabError: the build failed.
    """
    guest = GUESTS.get(name)
    if guest is None:
        raise UsageError(f"there is no guest {name!r}, only {', '.join(GUESTS)}")
    return BuiltGuest(guest, cached_build(name, [file for _, file in guest.boot], sources, cache))
