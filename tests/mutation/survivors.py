"""The checked-in list of mutations that survive, each with the reason why no test could or should notice it."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mutator import Mutation

FILE = Path(__file__).with_name("survivors.toml")


@dataclass(frozen=True, slots=True)
class Survivor:
    """Mutations that survive: those of `old` to `new` in lines of a function that read `line`; `reason` says why."""

    path: str
    function: str
    line: str
    old: str
    new: str
    reason: str

    def is_of(self, mutation: Mutation) -> bool:
        """Whether a mutation is one of these."""
        return (self.path, self.function, self.line, self.old, self.new) == (
            mutation.path,
            mutation.function,
            mutation.line,
            mutation.old,
            mutation.new,
        )

    def __str__(self) -> str:
        return f"{self.path} ({self.function}): {self.old!r} -> {self.new!r} in {self.line!r}"


def listed(path: Path = FILE) -> list[Survivor]:
    """All of the file."""
    return [Survivor(**entry) for entry in tomllib.loads(path.read_text(encoding="utf-8")).get("survivor", [])]


def entry(mutation: Mutation) -> str:
    """An entry for the file, to be completed with its reason."""
    fields = ("path", "function", "line", "old", "new")
    return "\n".join(
        ["[[survivor]]", *(f"{name} = {_quoted(getattr(mutation, name))}" for name in fields), 'reason = ""']
    )


def _quoted(text: str) -> str:
    if "'" not in text and "\n" not in text:
        return f"'{text}'"
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def outdated(survivors: Iterable[Survivor], every: Iterable[Mutation]) -> list[Survivor]:
    """Those of which there is no mutation any more, of the files that were looked at."""
    found = list(every)
    paths = {mutation.path for mutation in found}
    return [each for each in survivors if each.path in paths and not any(each.is_of(mutation) for mutation in found)]
