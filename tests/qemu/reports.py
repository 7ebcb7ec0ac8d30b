#!/usr/bin/env python3
"""Prints what sanitizers report of QEMU with the patch series, and do not report without it.

A directory has files that a sanitizer wrote because of its option `log_path`. Two reports are the same if they have the
same kind and their stacks begin with the same functions: addresses, line numbers and sizes differ between builds.
qemu-patches/check.sh makes the files:

    tests/qemu/reports.py WORK/asan/series/reports [WORK/asan/unpatched/reports]
    tests/qemu/reports.py WORK/tsan/series/reports --changed DIFF --known FILE

QEMU itself has many data races, and each run meets other ones. With --changed a report counts only if one of the two
accesses of the race is at a line of the patch series, or in a function that is called from there. --known lists pairs
of functions that may race, each with its reason.

exit status: 0 no report is new, 3 at least one is
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

# a report begins with one of these, which capture its kind
BEGINNINGS = (
    re.compile(r"ERROR: AddressSanitizer: (?P<kind>[\w-]+)"),
    re.compile(r"(?P<kind>(?:Direct|Indirect) leak) of "),
    re.compile(r"runtime error: (?P<kind>.+)"),
    re.compile(r"(?:WARNING|ERROR): ThreadSanitizer: (?P<kind>[^(]+)"),
)
FRAME = re.compile(r"^\s+#(?P<depth>\d+) (?:0x[0-9a-f]+ (?:in )?)?(?P<function>\S+)")
FUNCTIONS = 4  # of each stack that identify a report
CLOSE = 2  # functions of a stack in which a line of the patch series counts
STACKS = 2  # of each report; a race has one for each of two threads
# functions that allocate, copy, compare or lock for their callers
RUNTIME = re.compile(
    r"__interceptor_|__asan_|__ubsan_|__tsan_|g_(?:try_)?(?:malloc|calloc|realloc|new)|(?:c|m|re)alloc$|mem(?:cpy|move|set|cmp)$"
    r"|pthread_mutex_|qemu_mutex_|bql_(?:un)?lock"
)
NUMBER = re.compile(r"0x[0-9a-f]+|\d+")
ACCESS = re.compile(
    r"^\s+(?:Previous )?(?:atomic )?(?:read|write) of size", re.IGNORECASE
)  # the line above a stack of a race
BY = re.compile(r" by (?:thread (?P<thread>T\d+)|main thread)")
THREAD = re.compile(r"^\s+Thread (?P<thread>T\d+) '(?P<name>[^']+)'")
MAIN = "main"  # a name for the main thread, which reports do not name
PLACE = re.compile(r"^\s+#\d+ \S+ (?:\.\./(?:source/)?|/\S+?/source/)(?P<file>[^\s:]+):(?P<line>\d+)")
DIFFERENT = re.compile(r"^@@ -\S+ \+(?P<first>\d+)(?:,(?P<count>\d+))? @@")

NEW = 3  # the exit status; others are Python's own

Signature = tuple[str, ...]
Changed = dict[str, set[int]]  # by file
Known = dict[tuple[str, str], str]  # by two functions
RACE = "data race"  # a kind of reports
UNDER = "under:"  # before a function: that function, or what it calls
LOST = "lost:"  # before the beginning of the name of a thread: an access of that thread whose stack was not kept


def reports(text: str) -> Iterator[tuple[Signature, str]]:
    """Yield each report of a file: its signature and its text."""
    lines = text.splitlines()
    starts = [(number, match["kind"]) for number, line in enumerate(lines) if (match := _begins(line))]
    ends = [number for number, _ in starts[1:]] + [len(lines)]
    for (start, kind), end in zip(starts, ends, strict=False):  # a file may have warnings only, and no report
        body = lines[start:end]
        yield (NUMBER.sub("N", kind).strip(), *_stacks(body)), "\n".join(body).rstrip()


def read_reports(directory: Path) -> dict[Signature, str]:
    """The reports in a directory: the text of the first one for each signature."""
    texts: dict[Signature, str] = {}
    for path in sorted(directory.iterdir()):
        for signature, text in reports(path.read_text(errors="replace")):
            texts.setdefault(signature, text)
    return texts


def changed_lines(diff: str) -> Changed:
    """The changed lines of each file in the second tree, from a `diff -U0` between two source trees.

    Where lines were only removed, the lines before and after them count.
    """
    lines: Changed = {}
    name = ""
    for line in diff.splitlines():
        if line.startswith("+++ "):
            name = line.split()[1].removeprefix("b/")
        elif hunk := DIFFERENT.match(line):
            first, count = int(hunk["first"]), int(hunk["count"] or 1)
            lines.setdefault(name, set()).update(range(first, first + count) if count else (first, first + 1))
    return lines


def accesses(text: str) -> list[list[tuple[str, str, int]]]:
    """The two stacks of a race: function, file and line of each frame, innermost first.

    File and line are empty and 0 if the report lacks them. A report that is no race has one stack.
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
    """The names of the threads of the two accesses of a race; empty for a thread without a name."""
    names = {match["thread"]: match["name"] for line in text.splitlines() if (match := THREAD.match(line))}
    accesses_by = [match for line in text.splitlines() if ACCESS.match(line) and (match := BY.search(line))]
    return [names.get(match["thread"], "") if match["thread"] else MAIN for match in accesses_by]


def involves(text: str, changed: Changed) -> bool:
    """Whether a stack of the report begins at a line of the patch series."""
    return any(line in changed.get(file, ()) for stack in accesses(text) for _, file, line in stack[:CLOSE])


def is_known(text: str, known: Known) -> bool:
    """Whether the two functions of a race are a known pair."""
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
    """The pairs that may race, with their reasons, from lines ``function function  reason``; ``#`` begins a comment."""
    rows = [line.split(maxsplit=2) for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return {(first, second): reason for first, second, reason in rows}


def _begins(line: str) -> re.Match[str] | None:
    return next((match for beginning in BEGINNINGS if (match := beginning.search(line))), None)


def _stacks(lines: list[str]) -> Iterator[str]:
    """The functions that the first stacks begin with, without those of RUNTIME."""
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
    """Print the new reports; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("series", type=Path, help="the directory of the reports with the patch series")
    parser.add_argument(
        "unpatched", type=Path, nargs="?", help="that of the reports without it; default: there are none"
    )
    parser.add_argument(
        "--changed", type=Path, metavar="DIFF", help="diff -U0 from the unpatched source to the patched one"
    )
    parser.add_argument("--known", type=Path, metavar="FILE", help="pairs of functions that may race")
    arguments = parser.parse_args(words)
    series = read_reports(arguments.series)
    unpatched = read_reports(arguments.unpatched) if arguments.unpatched else {}
    new = {signature: text for signature, text in series.items() if signature not in unpatched}
    details = ""
    if arguments.changed:
        changed = changed_lines(arguments.changed.read_text())
        known = known_pairs(arguments.known.read_text()) if arguments.known else {}
        races = [signature for signature in series if signature[0] == RACE]
        ours = [signature for signature in series if involves(series[signature], changed)]
        for signature, text in series.items():
            if signature not in ours or (signature in races and is_known(text, known)):
                new.pop(signature, None)
        details = f" ({len(races)} of them races, {len(ours)} at lines of the patch series)"
    print(
        f"{len(series)} reports with the patch series{details}, {len(unpatched)} without it, {len(new)} with it alone"
    )
    print("\n\n".join(new.values()))
    return NEW if new else 0


if __name__ == "__main__":
    sys.exit(main())
