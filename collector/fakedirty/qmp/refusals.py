"""Recognizes refusals after which a caller can go on. QEMU gives all errors one class, so the message decides."""

from __future__ import annotations

from .client import QmpRefusedError

_SWITCHOVER_DECIDED = "the switchover of the migration has been decided"
_NOT_CLEANED_UP = "has not been cleaned up yet"
# of a parameter's value: QAPI's message, and that of a patch series whose schema lists hashes that are not built in
_NO_SUCH_VALUE = "does not accept value"
_NOT_BUILT_IN = "is not built in"


class SwitchoverDecidedError(QmpRefusedError):
    """The switchover of the running migration has been decided: mode and hash cannot change until it is over."""

    def __init__(self, command: str, error_class: str, reason: str) -> None:
        super().__init__(command, error_class, f"{reason}. Set them when it is over, if the guest stays here")


def switchover_decided(error: Exception) -> bool:
    """Whether mode and hash cannot change until the migration is over."""
    return _is(error, _SWITCHOVER_DECIDED)


def not_cleaned_up(error: Exception) -> bool:
    """Whether QEMU has not cleaned the last migration up yet: the same command will succeed in a moment."""
    return _is(error, _NOT_CLEANED_UP)


def not_built_in(error: Exception) -> bool:
    """Whether this QEMU does not have that mode or hash."""
    return _is(error, _NO_SUCH_VALUE) or _is(error, _NOT_BUILT_IN)


def _is(error: Exception, message: str) -> bool:
    return isinstance(error, QmpRefusedError) and message in error.reason
