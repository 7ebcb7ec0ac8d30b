"""Reads what a guest has reported on its serial port so far, by the protocol of ``guests/README.md``."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from fakedirty.errors import LabError

from .page_frames import FrameNumbers, PageFrames, frame_numbers

PREFIX = "guest: "
POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Sweeps:
    """`done` sweeps in `milliseconds` since ``ready``; `longest_ms` is the longest one since the previous report."""

    done: int
    milliseconds: int
    longest_ms: int


@dataclass(slots=True)
class GuestReport:
    """The report of a guest. `ranges` has the page frames of each set, `own` those of the guest itself."""

    ready: bool = False
    ranges: dict[str, list[PageFrames]] = field(default_factory=dict)
    own: list[PageFrames] = field(default_factory=list)
    status_frame: int | None = None
    text_words: int = 0  # of every 16 that fill a page
    sweeps: list[Sweeps] = field(default_factory=list)
    error: str = ""

    def frames(self, name: str) -> FrameNumbers:
        """The page frames of a set, which are page indexes in RAM block ``pc.ram``; empty if the set has none."""
        return frame_numbers(self.ranges.get(name, []))

    @property
    def sets(self) -> dict[str, FrameNumbers]:
        """The page frames of every set."""
        return {name: self.frames(name) for name in self.ranges}

    @property
    def sweeps_per_second(self) -> float | None:
        """Sweeps per second between the last two reports; None before the first report."""
        if not self.sweeps:
            return None
        last = self.sweeps[-1]
        before = self.sweeps[-2] if len(self.sweeps) > 1 else Sweeps(0, 0, 0)
        return 1000 * (last.done - before.done) / (last.milliseconds - before.milliseconds)

    @property
    def longest_sweep_seconds(self) -> float | None:
        """The longest of all sweeps, with its pause; None before the first report."""
        return max((sweeps.longest_ms / 1000 for sweeps in self.sweeps), default=None)


def parse_report(text: str) -> GuestReport:
    """Parse a serial log. Lines of firmware and kernel, and an incomplete last line, are ignored.

    Raises:
        LabError: a line of the guest does not follow the protocol.
    """
    report = GuestReport()
    for line in text[: text.rfind("\n") + 1].splitlines():
        if line.startswith(PREFIX):
            word, *values = line.removeprefix(PREFIX).split()
            try:
                LINES[word](report, values)
            except (KeyError, ValueError, IndexError) as error:
                raise LabError(f"the guest wrote {line!r}, which guests/README.md does not define") from error
    return report


def read_report(serial_path: Path) -> GuestReport:
    """Read the serial log that QEMU writes; an empty report while there is no file."""
    try:
        return parse_report(serial_path.read_bytes().decode("ascii", errors="replace"))
    except FileNotFoundError:
        return GuestReport()


def wait_for_report(
    serial_path: Path,
    enough: Callable[[GuestReport], bool],
    *,
    seconds: float,
    check_alive: Callable[[], object] = lambda: None,
) -> GuestReport:
    """Read the serial log again and again, until the report is `enough`.

    Args:
        serial_path: the log that QEMU writes.
        enough: whether a report is the one to wait for.
        seconds: how long to wait.
        check_alive: raises an error when the guest cannot get there any more.

    Returns:
        The first report that is `enough`.

    Raises:
        LabError: the guest reports an error, or the time is over.
    """
    deadline = time.monotonic() + seconds
    while not enough(report := read_report(serial_path)):
        if report.error:
            raise LabError(f"the guest reports an error: {report.error}")
        check_alive()
        if time.monotonic() > deadline:
            raise LabError(f"the guest is not ready after {seconds:g} s; its serial log is {serial_path}")
        time.sleep(POLL_SECONDS)
    return report


def wait_until_ready(
    serial_path: Path, *, seconds: float, check_alive: Callable[[], object] = lambda: None
) -> GuestReport:
    """Wait until the page sets are filled; see :func:`wait_for_report`."""
    return wait_for_report(serial_path, lambda report: report.ready, seconds=seconds, check_alive=check_alive)


def _set(report: GuestReport, values: list[str]) -> None:
    report.ranges.setdefault(values[0], []).extend(map(PageFrames.parse, values[1:]))


def _own(report: GuestReport, values: list[str]) -> None:
    report.own.extend(map(PageFrames.parse, values))


def _status(report: GuestReport, values: list[str]) -> None:
    report.status_frame = int(values[0])


def _text(report: GuestReport, values: list[str]) -> None:
    report.text_words = int(values[0])


def _ready(report: GuestReport, _values: list[str]) -> None:
    report.ready = True


def _sweeps(report: GuestReport, values: list[str]) -> None:
    done, milliseconds, longest_ms = map(int, values)
    report.sweeps.append(Sweeps(done, milliseconds, longest_ms))


def _error(report: GuestReport, values: list[str]) -> None:
    report.error = " ".join(values) or "no reason given"


LINES: dict[str, Callable[[GuestReport, list[str]], None]] = {
    "set": _set,
    "own": _own,
    "status": _status,
    "text": _text,
    "ready": _ready,
    "sweeps": _sweeps,
    "error": _error,
}
