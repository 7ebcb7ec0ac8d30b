"""Every error that fakedirty raises on purpose.

::

    FakedirtyError          what went wrong and what to do about it, in one message
    ├── UsageError          the command line or a file is wrong, or names something that does not exist
    ├── MissingError        a package, header, capability or binary is not there
    ├── TargetError         the QEMU process is not there, not QEMU, or not observable
    ├── QmpError            the QMP socket is absent, busy or closed, or QEMU refuses a command
    ├── RecordError         the directory of a migration cannot be written or read
    ├── GrafanaError        Grafana does not answer, refuses a request, or the server is not Grafana
    └── LabError            the laboratory (namespaces, guests, QEMU) did not come up
"""

from __future__ import annotations

from .harmless import harmless


class FakedirtyError(Exception):
    r"""Root of all errors; ``str(error)`` is a complete message for a person, with control characters escaped.

    Each argument is one line. Text of others in it (names, paths, answers) cannot begin another line.

    >>> str(FakedirtyError("no VM named web\n is here", "did you mean wbe?")).split("\n")
    ['no VM named web\\n is here', 'did you mean wbe?']
    """

    def __str__(self) -> str:
        return "\n".join(harmless(str(line)) for line in self.args)


class UsageError(FakedirtyError):
    """The request itself is wrong."""


class MissingError(FakedirtyError):
    """A package, file or permission is missing."""


class TargetError(FakedirtyError):
    """The process to observe is gone, is not QEMU, or cannot be observed."""


class QmpError(FakedirtyError):
    """QMP could not be reached or refused a command."""


class RecordError(FakedirtyError):
    """A recording cannot be written or read."""


class GrafanaError(FakedirtyError):
    """A request to Grafana failed.

    Attributes:
        status: HTTP status of its answer; None if it gave none.
        lasting: the same request would fail again.
    """

    def __init__(self, message: str, *, status: int | None = None, lasting: bool = False) -> None:
        super().__init__(message)
        self.status = status
        self.lasting = lasting


class LabError(FakedirtyError):
    """The laboratory did not start or did not work as planned."""
