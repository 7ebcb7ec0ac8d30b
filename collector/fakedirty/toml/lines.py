"""The line of each key in a TOML file, and of each element of an array: tomllib does not keep them."""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from collections.abc import Iterable

#: a path into the content of a file: names of keys, and indices into arrays
Key = tuple[str | int, ...]

_GAP = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")  # what may stand between two tokens
_STRING = re.compile(r'"""(?:[^\\]|\\[\s\S])*?"{3,5}|' r"'''[\s\S]*?'{3,5}|" r'"(?:[^"\\\n]|\\.)*"|' r"'[^'\n]*'")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_SCALAR = re.compile(r"[^,\]}#\n]+")  # number, boolean, date


def lines_of(text: str) -> dict[Key, int]:
    """The first line of every key, table and element of an array.

    Args:
        text: TOML that tomllib accepts.

    Returns:
        Lines by path, counted from 1; the element 2 of the array `mbit` in `[factors]` is `("factors", "mbit", 2)`.
    """
    scanner = _Scanner(text)
    scanner.scan()
    return scanner.lines


class _Scanner:
    """Walks through a text once; `_at` is the offset that it has reached."""

    def __init__(self, text: str) -> None:
        self.lines: dict[Key, int] = {}
        self._text = text
        self._at = 0
        self._ends = [found.start() for found in re.finditer("\n", text)]
        self._sizes: dict[Key, int] = {}  # of arrays of tables, so far

    def scan(self) -> None:
        """Note the line of everything in the text."""
        table: Key = ()
        while self._next():
            if self._skipped("[["):
                table = self._array_table()
            elif self._skipped("["):
                start = self._at
                table = self._resolved(self._dotted_key())
                self._note(table, start)
                self._skipped("]")
            else:
                self._pair(table)

    def _array_table(self) -> Key:
        """The header `[[a.b]]`, one more element of the array `b`."""
        start = self._at
        *outer, name = self._dotted_key()
        array = (*self._resolved(outer), name)
        number = self._sizes.get(array, 0)
        self._sizes[array] = number + 1
        self._note((*array, number), start)
        self._skipped("]]")
        return (*array, number)

    def _resolved(self, names: Iterable[str]) -> Key:
        """The path that a header means: an array of tables in it stands for its latest element."""
        path: Key = ()
        for name in names:
            path = (*path, name)
            if path in self._sizes:
                path = (*path, self._sizes[path] - 1)
        return path

    def _pair(self, table: Key) -> None:
        start = self._at
        path = (*table, *self._dotted_key())
        self._note(path, start)
        self._skipped("=")
        self._value(path)

    def _value(self, path: Key) -> None:
        if self._skipped("["):
            number = 0
            while self._next() and not self._skipped("]"):
                self._note((*path, number), self._at)
                self._value((*path, number))
                self._skipped(",")
                number += 1
        elif self._skipped("{"):
            while self._next() and not self._skipped("}"):
                self._pair(path)
                self._skipped(",")
        elif found := _STRING.match(self._text, self._at) or _SCALAR.match(self._text, self._at):
            self._at = found.end()

    def _dotted_key(self) -> list[str]:
        names = [self._name()]
        while self._skipped("."):
            self._next()
            names.append(self._name())
        return names

    def _name(self) -> str:
        if found := _STRING.match(self._text, self._at):
            self._at = found.end()
            return str(tomllib.loads(f"name = {found[0]}")["name"])
        found = _BARE_KEY.match(self._text, self._at)
        assert found is not None, f"no key at offset {self._at}"
        self._at = found.end()
        return found[0]

    def _next(self) -> bool:
        """Go to the next token; whether there is one."""
        found = _GAP.match(self._text, self._at)
        self._at = found.end() if found else self._at
        return self._at < len(self._text)

    def _skipped(self, token: str) -> bool:
        """Go past `token` and what separates it from the next one; whether it stands here."""
        self._next()
        if not self._text.startswith(token, self._at):
            return False
        self._at += len(token)
        self._next()
        return True

    def _note(self, path: Key, offset: int) -> None:
        """The line of a path, and of each path that leads to it."""
        line = bisect_right(self._ends, offset - 1) + 1
        for length in range(1, len(path) + 1):
            self.lines.setdefault(path[:length], line)
