"""A plugin of pytest that writes which tests executed which lines of the collector, and how long each took.

It is loaded with ``-p coverage_plugin`` and writes JSON to the file that FAKEDIRTY_COVERAGE names.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import coverage
import pytest

OUTPUT = Path(os.environ["FAKEDIRTY_COVERAGE"])
SOURCE = Path.cwd() / "collector"

_coverage = coverage.Coverage(data_file=None, source=[str(SOURCE)], config_file=False)
_coverage.start()
_seconds: dict[str, float] = defaultdict(float)
_failed: set[str] = set()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    _coverage.switch_context(item.nodeid)
    try:
        return (yield)  # type: ignore[return-value]
    finally:
        _coverage.switch_context("")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    _seconds[report.nodeid] += report.duration
    if report.failed:
        _failed.add(report.nodeid)


def pytest_sessionfinish() -> None:
    _coverage.stop()
    data = _coverage.get_data()
    tests = sorted(_seconds)
    numbers = {name: number for number, name in enumerate(tests)}
    files = {}
    for file in data.measured_files():
        lines = data.contexts_by_lineno(file)
        files[str(Path(file).relative_to(Path.cwd()))] = {
            line: sorted({numbers[name] for name in names if name in numbers}) for line, names in lines.items()
        }
    content = {"tests": tests, "seconds": [_seconds[name] for name in tests], "failed": sorted(_failed), "files": files}
    OUTPUT.write_text(json.dumps(content))
