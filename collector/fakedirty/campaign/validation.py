"""Tables of a campaign file: strict in keys and types, and what is wrong told by key, with the nearest names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError


class Table(BaseModel):
    """A table of the file; what it does not know, and what is of another type, is refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def unknown(what: str, name: str, known: Iterable[str], listed: Iterable[str] = ()) -> str:
    """That there is no `what` of this name, with the nearest ones; where nothing is near, those `listed`, or all."""
    names = list(dict.fromkeys(known))
    near = difflib.get_close_matches(name, names, n=3)
    return f"no such {what}: {name!r}; " + (
        f"did you mean {', '.join(near)}?" if near else f"known: {', '.join(listed or names)}"
    )


def refuse(message: str) -> PydanticCustomError:
    """An error of a validator, told as it is."""
    return PydanticCustomError("refused", "{message}", {"message": message})


def problems(error: ValidationError, model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """One line each: the key, and what is wrong there."""
    for each in error.errors():
        key = _spelled(prefix, each["loc"])
        yield f"{key}: {_wrong(each, model)}" if key else _wrong(each, model)


def _spelled(prefix: str, location: tuple[int | str, ...]) -> str:
    """The path of a key; of a union, pydantic adds the type that did not fit, in parentheses or lower case."""
    key = prefix
    for part in location:
        if isinstance(part, int):
            key += f"[{part}]"
        elif part not in ("str", "float"):
            key += f".{part}" if key else part
    return key


def _wrong(error: ErrorDetails, model: type[BaseModel]) -> str:
    match error["type"]:
        case "extra_forbidden":
            return unknown("key", str(error["loc"][-1]), _model_at(model, error["loc"][:-1]).model_fields)
        case "missing":
            return "is missing"
        case "refused":
            return error["msg"]
        case _:
            return f"{error['msg'][:1].lower()}{error['msg'][1:]}, not {error['input']!r}"


def _model_at(model: type[BaseModel], location: tuple[int | str, ...]) -> type[BaseModel]:
    """The table that a path leads to."""
    for part in location:
        if isinstance(part, str) and part in model.model_fields:
            annotation: Any = model.model_fields[part].annotation
            inner = (annotation, *get_args(annotation))
            model = next((each for each in inner if isinstance(each, type) and issubclass(each, BaseModel)), model)
    return model
