#!/usr/bin/env python3
"""What QEMU's sanitizers report with the series, and do not report without it.

Each directory has files that sanitizers wrote by their option `log_path`. Two reports are the same if they are of one
kind and their stacks begin with the same functions: addresses, line numbers and sizes are others in every build.
qemu-patches/check.sh makes the files:

    tests/qemu/reports.py WORK/asan/series/reports [WORK/asan/unpatched/reports]

exit status: 0 nothing is new, 3 something is
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
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
STACKS = 2  # of each report: a race has one for each of two threads
# what allocates, copies or compares for whoever called it
RUNTIME = re.compile(
    r"__interceptor_|__asan_|__ubsan_|__tsan_|g_(?:try_)?(?:malloc|calloc|realloc|new)|(?:c|m|re)alloc$"
)
NUMBER = re.compile(r"0x[0-9a-f]+|\d+")

NEW = 3  # the exit status; others are Python's own

Signature = tuple[str, ...]


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


def main() -> int:
    """Print what is new, and say whether anything is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("series", type=Path, help="directory of the reports with the series")
    parser.add_argument("unpatched", type=Path, nargs="?", help="directory of those without it; none: no such reports")
    arguments = parser.parse_args()
    series = of(arguments.series)
    unpatched = of(arguments.unpatched) if arguments.unpatched else {}
    new = {signature: text for signature, text in series.items() if signature not in unpatched}
    print(f"{len(series)} reports with the series, {len(unpatched)} without it, {len(new)} with it alone")
    print("\n\n".join(new.values()))
    return NEW if new else 0


if __name__ == "__main__":
    sys.exit(main())
