"""Refusals after which a caller can go on, by QEMU's own words: it gives all of them one class of error."""

from __future__ import annotations

from .client import QmpRefusedError

_SWITCHOVER_DECIDED = "the switchover of the migration has been decided"
_NOT_CLEANED_UP = "has not been cleaned up yet"
# of a value of a parameter: QAPI's own words, and those of a series whose schema lists what is not built in
_NO_SUCH_VALUE = "does not accept value"
_NOT_BUILT_IN = "is not built in"


class SwitchoverDecidedError(QmpRefusedError):
    """A migration is past the decision on its switchover: mode and hash stay as they are until it is over."""

    def __init__(self, command: str, error_class: str, reason: str) -> None:
        super().__init__(command, error_class, f"{reason}. Set them when it is over, if the guest stays here")


def switchover_decided(error: Exception) -> bool:
    """Whether mode and hash stay as they are until the migration is over."""
    return _is(error, _SWITCHOVER_DECIDED)


def not_cleaned_up(error: Exception) -> bool:
    """Whether the last migration is over, and QEMU is not done with it: the same is accepted in a moment."""
    return _is(error, _NOT_CLEANED_UP)


def not_built_in(error: Exception) -> bool:
    """Whether this QEMU has no such mode or hash."""
    return _is(error, _NO_SUCH_VALUE) or _is(error, _NOT_BUILT_IN)


def _is(error: Exception, words: str) -> bool:
    return isinstance(error, QmpRefusedError) and words in error.reason
