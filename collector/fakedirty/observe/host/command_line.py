"""The command line of a QEMU, with the files that it names with ``-readconfig``."""

from __future__ import annotations

import errno
import itertools
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from fakedirty.linux.process import Process
from fakedirty.model.vm_names import visible

Keys = Mapping[str, str]

_SECTION = re.compile(r'^\s*\[\s*([\w-]+)(?:\s+"([^"]*)")?\s*\]\s*$')
_SETTING = re.compile(r'^\s*([\w.-]+)\s*=\s*"([^"]*)"\s*$')
_HELP = re.compile(r"(^|,|=)(help|\?)$")
# options whose value ``help`` prints a list; for other options (a name, a path) it is a value like any other
_PRINTING = (
    *("accel", "audio", "audiodev", "chardev", "cpu", "d", "device", "display", "M", "machine", "net", "netdev", "nic"),
    *("object", "soundhw", "tpmdev", "trace", "vga", "watchdog"),
)
_DESCRIPTOR = re.compile(r"/(?:dev|proc/self)/fd/(\d+)")
_LARGEST_FILE = 1 << 20  # bytes that are read; a configuration has some hundred


@dataclass(frozen=True)
class CommandLine:
    """The command line of a process.

    Attributes:
        words: its words.
        sections: groups of options in the files that it names, each with the name of its option.
        unread: files that cannot be read, each with the reason.
    """

    words: Sequence[str]
    sections: Sequence[tuple[str, Keys]] = ()
    unread: Mapping[str, str] = field(default_factory=dict)

    def values(self, option: str) -> Iterator[str]:
        """The value of an option, for each time that it is given."""
        for name, value in itertools.pairwise(self.words):
            if name in (f"-{option}", f"--{option}"):
                yield value

    def has(self, option: str) -> bool:
        """Whether an option is given."""
        return any(word in (f"-{option}", f"--{option}") for word in self.words)

    def groups(self, option: str, first: str) -> Iterator[Keys]:
        """The keys of an option, for each time that it is given; those in files come last, in QEMU's order.

        A first part without a key gets the name `first`.
        """
        for value in self.values(option):
            yield keys(value, first)
        for name, section in self.sections:
            if name == option:
                yield section

    @cached_property
    def vm(self) -> str | None:
        """The name of the VM, the last one if several are given; None if none is."""
        names = [name for group in self.groups("name", "guest") if (name := group.get("guest"))]
        return visible(names[-1]) if names else None

    @property
    def only_prints(self) -> bool:
        """Whether this QEMU prints a list or its version, and runs no VM."""
        if any(self.has(option) for option in ("version", "help", "h")):
            return True
        return any(_HELP.search(value) for option in _PRINTING for value in self.values(option))

    @property
    def incoming(self) -> bool:
        """Whether this QEMU was started to wait for a migration."""
        return self.has("incoming")


def read(process: Process) -> CommandLine:
    """The command line of a process. Its files are opened relative to its own directory and root."""
    words = process.arguments()
    sections: list[tuple[str, Keys]] = []
    unread = {}
    for name, value in itertools.pairwise(words):
        if name in ("-readconfig", "--readconfig"):
            try:
                sections += parse(_text(value, process))
            except OSError as error:
                unread[value] = error.strerror or str(error)
    return CommandLine(words, sections, unread)


def keys(value: str, first: str) -> dict[str, str]:
    """``a,b=c`` as a mapping. A first part without a key gets the name `first`. ``,,`` is a comma."""
    parts = [part.replace("\0", ",") for part in value.replace(",,", "\0").split(",")]
    return dict((first, part) if number == 0 and "=" not in part else _pair(part) for number, part in enumerate(parts))


def is_on(group: Keys, name: str) -> bool:
    """Whether a switch is on, in any of QEMU's spellings: ``server`` or ``server=on``, while ``noserver`` is off."""
    if f"no{name}" in group:
        return False
    return group.get(name) in ("", "on", "yes", "true", "y")


def parse(text: str) -> Iterator[tuple[str, Keys]]:
    """The groups of options in the text of a configuration file, each with the name of its option."""
    section: tuple[str, dict[str, str]] | None = None
    for line in text.splitlines():
        if match := _SECTION.match(line):
            if section:
                yield section
            section = match[1], ({"id": match[2]} if match[2] else {})
        elif section and (match := _SETTING.match(line)):
            section[1][match[1]] = match[2]
    if section:
        yield section


def _pair(part: str) -> tuple[str, str]:
    key, _equals, value = part.partition("=")
    return key, value


def _text(name: str, process: Process) -> str:
    """The text of a file that a process read when it started. Raises OSError if it is not there any more."""
    problem: OSError | None = None
    for path in _paths(name, process):
        try:
            return _content(path).decode(errors="replace")
        except OSError as error:
            problem = problem or error
    raise problem or FileNotFoundError(name)


def _content(path: Path) -> bytes:
    """The content of a regular file. Others are refused: to open a pipe or a device may block, or have an effect."""
    found = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(found).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file")
        with open(f"/proc/self/fd/{found}", "rb") as file:
            return file.read(_LARGEST_FILE)
    finally:
        os.close(found)


def _paths(name: str, process: Process) -> Iterable[Path]:
    """Where a file of a process may be, in the order in which to try."""
    directory = process.directory
    if match := _DESCRIPTOR.fullmatch(name):  # a descriptor of that process, not of this one
        return (directory / "fd" / match[1],)
    if name.startswith("/"):
        there = process.resolve(name)
        return (there, Path(name)) if process.shares("mnt") else (there,)
    # a daemon has left the directory in which it was started, but still has its first environment
    started = process.environment("PWD")
    return (directory / "cwd" / name, *(_paths(f"{started}/{name}", process) if started else ()))
