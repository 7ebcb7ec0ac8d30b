"""Chooses tests for a mutation, by the lines that they execute."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from mutator import Mutation


@dataclass(slots=True)
class Covered:
    """Tests by file and line, their seconds, and those that fail without any mutation."""

    files: dict[str, dict[int, set[str]]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)

    def add(self, path: Path) -> None:
        """Add what the plugin wrote."""
        content = json.loads(path.read_text())
        tests = content["tests"]
        self.seconds |= dict(zip(tests, content["seconds"], strict=True))
        self.failed |= set(content["failed"])
        for file, lines in content["files"].items():
            known = self.files.setdefault(file, {})
            for line, numbers in lines.items():
                known.setdefault(int(line), set()).update(tests[number] for number in numbers)

    def of(self, mutation: Mutation) -> list[str]:
        """The tests that execute a line of the mutation's statement, those that are likely to notice it first.

        What is executed when the module is imported, perhaps by the one test that was the first to need it, has no test
        of its own: then all tests of the module, or of its room.
        """
        lines = self.files.get(mutation.path, {})
        first, last = mutation.lines
        found = set().union(*(lines.get(line, set()) for line in range(first, last + 1)))
        if not found or mutation.imported:
            found = set().union(*lines.values())
        if not found:
            found = {test for test in self.seconds if test.startswith(_room(mutation.path))}
        return self.in_order(found - self.failed, mutation.path)

    def others(self, mutation: Mutation) -> list[str]:
        """All tests but these."""
        return self.in_order(set(self.seconds) - set(self.of(mutation)) - self.failed, mutation.path)

    def in_order(self, tests: Iterable[str], path: str) -> list[str]:
        """Tests of the same room first, and of those the shortest."""
        near = _room(path)
        return sorted(tests, key=lambda test: (not test.startswith(near), self.seconds.get(test, 0.0), test))

    def time(self, tests: Sequence[str]) -> float:
        """Seconds that they take without a mutation."""
        return sum(self.seconds.get(test, 0.0) for test in tests)


def _room(path: str) -> str:
    """Where the unit tests of a file's room are."""
    room = PurePosixPath(path).parent.relative_to("collector/fakedirty")
    return "tests/unit/" if room == PurePosixPath() else f"tests/unit/{room}/"
