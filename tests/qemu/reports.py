#!/usr/bin/env python3
"""What QEMU's sanitizers report with the series, and do not report without it.

Each directory has files that sanitizers wrote by their option `log_path`. Two reports are the same if they are of one
kind and their stacks begin with the same functions: addresses, line numbers and sizes are others in every build.
qemu-patches/check.sh makes the files:

    tests/qemu/reports.py WORK/asan/series/reports [WORK/asan/unpatched/reports]
    tests/qemu/reports.py WORK/tsan/series/reports --changed DIFF --known FILE

QEMU has data races of its own all over, and each run meets others of them. With --changed a report counts only if what
it is about, one of the two accesses of a race, is at a line that the series has written, or in a function called from
there; --known lists pairs of functions that may race, each with its reason.

exit status: 0 nothing is new, 3 something is
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

# a report begins with one of these; what is captured is its kind
BEGINNINGS = (
    re.compile(r"ERROR: AddressSanitizer: (?P<kind>[\w-]+)"),
    re.compile(r"(?P<kind>(?:Direct|Indirect) leak) of "),
    re.compile(r"runtime error: (?P<kind>.+)"),
    re.compile(r"(?:WARNING|ERROR): ThreadSanitizer: (?P<kind>[^(]+)"),
)
FRAME = re.compile(r"^\s+#(?P<depth>\d+) (?:0x[0-9a-f]+ (?:in )?)?(?P<function>\S+)")
FUNCTIONS = 4  # of each stack
CLOSE = 2  # functions within which a race is at a line, or was called from there
STACKS = 2  # of each report: a race has one for each of two threads
# what allocates, copies, compares or locks for whoever called it
RUNTIME = re.compile(
    r"__interceptor_|__asan_|__ubsan_|__tsan_|g_(?:try_)?(?:malloc|calloc|realloc|new)|(?:c|m|re)alloc$|mem(?:cpy|move|set|cmp)$"
    r"|pthread_mutex_|qemu_mutex_|bql_(?:un)?lock"
)
NUMBER = re.compile(r"0x[0-9a-f]+|\d+")
ACCESS = re.compile(
    r"^\s+(?:Previous )?(?:atomic )?(?:read|write) of size", re.IGNORECASE
)  # what a race's stacks have above
BY = re.compile(r" by (?:thread (?P<thread>T\d+)|main thread)")
THREAD = re.compile(r"^\s+Thread (?P<thread>T\d+) '(?P<name>[^']+)'")
MAIN = "main"  # how the main thread is called, whose name is not reported
PLACE = re.compile(r"^\s+#\d+ \S+ (?:\.\./(?:source/)?|/\S+?/source/)(?P<file>[^\s:]+):(?P<line>\d+)")
DIFFERENT = re.compile(r"^@@ -\S+ \+(?P<first>\d+)(?:,(?P<count>\d+))? @@")

NEW = 3  # the exit status; others are Python's own

Signature = tuple[str, ...]
Changed = dict[str, set[int]]  # by file
Known = dict[tuple[str, str], str]  # by two functions
RACE = "data race"  # the kind
UNDER = "under:"  # before a function: that one, or whatever it calls
LOST = "lost:"  # before the beginning of a thread's name: something in that thread, whose stack was not kept


def reports(text: str) -> Iterator[tuple[Signature, str]]:
    """Each report of one file: what it is known by, and its text."""
    lines = text.splitlines()
    starts = [(number, found["kind"]) for number, line in enumerate(lines) if (found := _begins(line))]
    ends = [number for number, _ in starts[1:]] + [len(lines)]
    for (start, kind), end in zip(starts, ends, strict=False):  # a file may have warnings alone, and no report
        body = lines[start:end]
        yield (NUMBER.sub("N", kind).strip(), *_stacks(body)), "\n".join(body).rstrip()


def of(directory: Path) -> dict[Signature, str]:
    """The reports below a directory, one text for each."""
    found: dict[Signature, str] = {}
    for path in sorted(directory.iterdir()):
        for signature, text in reports(path.read_text(errors="replace")):
            found.setdefault(signature, text)
    return found


def changed_lines(diff: str) -> Changed:
    """Of a `diff -U0` between two source trees: by file, the lines that are other ones in the second tree.

    Where lines were only taken away, those on either side of them count.
    """
    lines: Changed = {}
    name = ""
    for line in diff.splitlines():
        if line.startswith("+++ "):
            name = line.split()[1].removeprefix("b/")
        elif found := DIFFERENT.match(line):
            first, count = int(found["first"]), int(found["count"] or 1)
            lines.setdefault(name, set()).update(range(first, first + count) if count else (first, first + 1))
    return lines


def accesses(text: str) -> list[list[tuple[str, str, int]]]:
    """The functions of the two stacks of a race, innermost first, each with file and line as far as these are known.

    What is no race has one stack.
    """
    stacks: list[list[tuple[str, str, int]]] = []
    within = False
    lines = text.splitlines()
    beginnings = {number for number, line in enumerate(lines) if ACCESS.match(line)} or {0}
    for number, line in enumerate(lines):
        if number in beginnings:
            within = True
            stacks.append([])
        elif not (frame := FRAME.match(line)):
            within = False
        elif within and not RUNTIME.match(frame["function"]):
            place = PLACE.match(line)
            stacks[-1].append((frame["function"], *((place["file"], int(place["line"])) if place else ("", 0))))
    return stacks


def threads(text: str) -> list[str]:
    """The names of the threads of the two accesses of a race; an empty one where a thread has none."""
    names = {found["thread"]: found["name"] for line in text.splitlines() if (found := THREAD.match(line))}
    by = [found for line in text.splitlines() if ACCESS.match(line) and (found := BY.search(line))]
    return [names.get(found["thread"], "") if found["thread"] else MAIN for found in by]


def involves(text: str, changed: Changed) -> bool:
    """Whether a report is of the series: one of its stacks begins at a line of it."""
    return any(line in changed.get(file, ()) for stack in accesses(text) for _, file, line in stack[:CLOSE])


def is_known(text: str, known: Known) -> bool:
    """Whether the two functions in which a race happens may race."""
    sides = [
        ([function for function, _, _ in stack], thread)
        for stack, thread in zip(accesses(text), threads(text), strict=False)
    ]
    first, second = [*sides, ([], ""), ([], "")][:2]
    return any(
        (_is_in(*first, one) and _is_in(*second, other)) or (_is_in(*first, other) and _is_in(*second, one))
        for one, other in known
    )


def _is_in(functions: list[str], thread: str, place: str) -> bool:
    if place.startswith(LOST):
        return not functions and thread.startswith(place.removeprefix(LOST))
    return place.removeprefix(UNDER) in (functions if place.startswith(UNDER) else functions[:1])


def known_pairs(text: str) -> Known:
    """Of a file of lines `function function  reason`, `#` begins a comment: the reason of each pair."""
    rows = [line.split(maxsplit=2) for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return {(first, second): reason for first, second, reason in rows}


def _begins(line: str) -> re.Match[str] | None:
    return next((found for beginning in BEGINNINGS if (found := beginning.search(line))), None)


def _stacks(lines: list[str]) -> Iterator[str]:
    """The functions that the first stacks begin with, leaving out those of the sanitizer and of allocators."""
    stacks: list[list[str]] = []
    for line in lines:
        if not (frame := FRAME.match(line)):
            continue
        if frame["depth"] == "0":
            stacks.append([])
        if stacks and not RUNTIME.match(frame["function"]):
            stacks[-1].append(frame["function"])
    for stack in stacks[:STACKS]:
        yield " < ".join(stack[:FUNCTIONS])


def main(words: Sequence[str] | None = None) -> int:
    """Print what is new, and say whether anything is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("series", type=Path, help="directory of the reports with the series")
    parser.add_argument("unpatched", type=Path, nargs="?", help="directory of those without it; none: no such reports")
    parser.add_argument(
        "--changed", type=Path, metavar="DIFF", help="diff -U0 from the unpatched source to the series'"
    )
    parser.add_argument("--known", type=Path, metavar="FILE", help="pairs of functions that may race")
    arguments = parser.parse_args(words)
    series = of(arguments.series)
    unpatched = of(arguments.unpatched) if arguments.unpatched else {}
    new = {signature: text for signature, text in series.items() if signature not in unpatched}
    said = ""
    if arguments.changed:
        changed = changed_lines(arguments.changed.read_text())
        known = known_pairs(arguments.known.read_text()) if arguments.known else {}
        races = [signature for signature in series if signature[0] == RACE]
        ours = [signature for signature in series if involves(series[signature], changed)]
        for signature, text in series.items():
            if signature not in ours or (signature in races and is_known(text, known)):
                new.pop(signature, None)
        said = f" ({len(races)} of them races, {len(ours)} at lines of the series)"
    print(f"{len(series)} reports with the series{said}, {len(unpatched)} without it, {len(new)} with it alone")
    print("\n\n".join(new.values()))
    return NEW if new else 0


if __name__ == "__main__":
    sys.exit(main())
