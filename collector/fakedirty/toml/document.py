"""One TOML file: its content, the models that it is checked by, and its refusal with file, line and key."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from fakedirty.errors import UsageError

from .lines import Key, lines_of
from .tables import REFUSED, Table, unknown

_Model = TypeVar("_Model", bound=Table)

_UNION_MEMBERS = ("str", "float")  # pydantic adds the member of a union that did not fit to the path of a key


@dataclass(frozen=True, slots=True)
class Problem:
    """A key of a file, and why it is refused."""

    key: Key
    reason: str


class Document:
    """The text of a TOML file, which may be a text without a file.

    Args:
        text: The text.
        path: The file that it was read from.

    Raises:
        UsageError: The text is not TOML; the message has the line.
    """

    def __init__(self, text: str, path: Path | None = None) -> None:
        self.text = text
        self._path = path
        try:
            self._content = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            found = re.search(r"\(at line (\d+)", str(error))
            line = int(found[1]) if found else text.count("\n") + 1
            raise UsageError(f"{self._place(line)}: {error}") from error

    @classmethod
    def read(cls, path: Path) -> Self:
        """The document in a file; UsageError if it cannot be read, or is not TOML."""
        try:
            return cls(path.read_text(encoding="utf-8"), path)
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"cannot read {path}: {error}") from error

    def checked(self, model: type[_Model]) -> _Model:
        """The content as `model` has it; UsageError reports every problem, a line each."""
        try:
            return model.model_validate(self._content)
        except ValidationError as error:
            raise self.refusal(problems(error, model)) from error

    def refusal(self, found: Iterable[Problem]) -> UsageError:
        """The error that reports problems: for each a line with file, line, key and reason, in the file's order."""
        placed = sorted((self._line(each.key), number, each) for number, each in enumerate(found))
        return UsageError(*(f"{self._place(line)}: {_with_key(each)}" for line, _, each in placed))

    def _place(self, line: int) -> str:
        return str(line) if self._path is None else f"{self._path}:{line}"

    def _line(self, key: Key) -> int:
        """The line of a key; of one that is missing, that of the table which lacks it."""
        while key and key not in self._lines:
            key = key[:-1]
        return self._lines.get(key, 1)

    @cached_property
    def _lines(self) -> dict[Key, int]:
        return lines_of(self.text)


def problems(error: ValidationError, model: type[BaseModel], key: Key = ()) -> Iterator[Problem]:
    """What pydantic has found.

    Args:
        error: The error of a validation.
        model: The model that was validated.
        key: Where the validated table stands in its file.
    """
    for each in error.errors():
        location = each["loc"]
        if each["type"] not in ("missing", "extra_forbidden") and location[-1:] and location[-1] in _UNION_MEMBERS:
            location = location[:-1]
        yield Problem((*key, *location), _reason(each, model))


def _with_key(problem: Problem) -> str:
    spelled = ""
    for part in problem.key:
        spelled += f"[{part}]" if isinstance(part, int) else f".{part}" if spelled else part
    return f"{spelled}: {problem.reason}" if spelled else problem.reason


def _reason(error: ErrorDetails, model: type[BaseModel]) -> str:
    match error["type"]:
        case "extra_forbidden":
            table, name = _table_at(model, error["loc"][:-1]), str(error["loc"][-1])
            replaced = table.replaced.get(name) if issubclass(table, Table) else None
            return replaced or unknown("key", name, table.model_fields)
        case "missing":
            return "is missing"
        case "model_type":
            return f"must be a table, not {error['input']!r}"
        case _ if error["type"] == REFUSED:
            return error["msg"]
        case _:
            return f"{error['msg'][:1].lower()}{error['msg'][1:]}, not {error['input']!r}"


def _table_at(model: type[BaseModel], location: tuple[int | str, ...]) -> type[BaseModel]:
    """The model of the table that a path leads to."""
    for part in location:
        if isinstance(part, str) and part in model.model_fields:
            annotation: Any = model.model_fields[part].annotation
            inner = (annotation, *get_args(annotation))
            model = next((each for each in inner if isinstance(each, type) and issubclass(each, BaseModel)), model)
    return model
