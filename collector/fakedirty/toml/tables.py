"""Tables of a TOML file as models of pydantic: strict in keys and types."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict
from pydantic_core import PydanticCustomError

from fakedirty.errors import UsageError

REFUSED = "refused"  # the type of an error that :func:`refuse` made


class Table(BaseModel):
    """A table: a key that it does not know is refused, and a value of another type.

    `replaced` has keys of earlier versions, and the sentence that refuses each.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    replaced: ClassVar[Mapping[str, str]] = {}


def refuse(message: str) -> PydanticCustomError:
    """The error that a validator raises; its message is reported as it is."""
    return PydanticCustomError(REFUSED, "{message}", {"message": message})


def accepted_by(check: Callable[[Any], object]) -> AfterValidator:
    """A validator that refuses a value with the message of the UsageError that `check` raises for it."""

    def validate(value: Any) -> Any:
        try:
            check(value)
        except UsageError as error:
            raise refuse(str(error)) from error
        return value

    return AfterValidator(validate)


def unknown(what: str, name: str, known: Iterable[str], listed: Iterable[str] = ()) -> str:
    """The message for a name that does not exist, with the nearest names that do.

    Args:
        what: The kind of thing, such as "treatment".
        name: The name that does not exist.
        known: All names that exist.
        listed: Names to list where none is near; all of `known` if empty.
    """
    names = list(dict.fromkeys(known))
    near = difflib.get_close_matches(name, names, n=3)
    return f"no such {what}: {name!r}; " + (
        f"did you mean {', '.join(near)}?" if near else f"known: {', '.join(listed or names)}"
    )
