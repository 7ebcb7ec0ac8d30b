"""Every error that fakedirty raises on purpose.

::

    FakedirtyError          what went wrong and what to do about it, in one message
    ├── UsageError          the command line or a file asks for something that does not exist
    ├── MissingError        a package, header, capability or binary is not there
    ├── TargetError         the QEMU process is not there, not QEMU, or not observable
    ├── QmpError            the QMP socket is absent, busy, closed, or refuses a command
    ├── RecordError         a directory of a migration cannot be written or read
    ├── GrafanaError        a Grafana is away, refuses, or is none
    └── LabError            the laboratory (namespaces, guests, QEMU) did not come up
"""

from __future__ import annotations

from .harmless import harmless


class FakedirtyError(Exception):
    """Root of all errors; ``str(error)`` is a complete message for a person, made harmless.

    Each argument is a line: what it has of others (names, paths, answers) cannot begin another one.
    """

    def __str__(self) -> str:
        return "\n".join(harmless(str(line)) for line in self.args)


class UsageError(FakedirtyError):
    """The request itself is wrong."""


class MissingError(FakedirtyError):
    """Something that must be installed or granted is not there."""


class TargetError(FakedirtyError):
    """The process to observe is gone, is not QEMU, or cannot be observed."""


class QmpError(FakedirtyError):
    """QMP could not be reached or refused a command."""


class RecordError(FakedirtyError):
    """What was observed cannot be written or read back."""


class GrafanaError(FakedirtyError):
    """Grafana could not be asked, or refused.

    `status` is what it answered with, None if it did not. What is `lasting` will be refused again.
    """

    def __init__(self, message: str, *, status: int | None = None, lasting: bool = False) -> None:
        super().__init__(message)
        self.status = status
        self.lasting = lasting


class LabError(FakedirtyError):
    """The laboratory did not come up or did not behave."""
