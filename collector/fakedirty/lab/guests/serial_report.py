"""What a guest said over serial so far: the protocol of ``guests/README.md``."""

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
    """`done` sweeps in `milliseconds` since ready; `longest_ms` is the longest since the report before."""

    done: int
    milliseconds: int
    longest_ms: int


@dataclass(slots=True)
class GuestReport:
    """A guest's report. `ranges` are page frames by set, `own` those that the guest writes for itself."""

    ready: bool = False
    ranges: dict[str, list[PageFrames]] = field(default_factory=dict)
    own: list[PageFrames] = field(default_factory=list)
    status_frame: int | None = None
    text_words: int = 0  # of every 16 that fill a page
    sweeps: list[Sweeps] = field(default_factory=list)
    error: str = ""

    def frames(self, name: str) -> FrameNumbers:
        """The page frames of a set, which are page indexes of RAM block ``pc.ram``; empty if it has none."""
        return frame_numbers(self.ranges.get(name, []))

    @property
    def sets(self) -> dict[str, FrameNumbers]:
        """The page frames of every set."""
        return {name: self.frames(name) for name in self.ranges}

    @property
    def sweeps_per_second(self) -> float | None:
        """Over the time between the last two reports; None before the first one."""
        if not self.sweeps:
            return None
        last = self.sweeps[-1]
        before = self.sweeps[-2] if len(self.sweeps) > 1 else Sweeps(0, 0, 0)
        return 1000 * (last.done - before.done) / (last.milliseconds - before.milliseconds)

    @property
    def longest_sweep_seconds(self) -> float | None:
        """The longest sweep of all, its pause included; None before the first report."""
        return max((sweeps.longest_ms / 1000 for sweeps in self.sweeps), default=None)


def parse_report(text: str) -> GuestReport:
    """The report in a serial log; lines of others and a last line that is not complete are passed over.

    Raises LabError where a line is the guest's but not of the protocol.
    """
    report = GuestReport()
    for line in text[: text.rfind("\n") + 1].splitlines():
        if line.startswith(PREFIX):
            word, *values = line.removeprefix(PREFIX).split()
            try:
                LINES[word](report, values)
            except (KeyError, ValueError, IndexError) as error:
                raise LabError(f"the guest said {line!r}, which is not of the protocol of guests/README.md") from error
    return report


def read_report(serial_path: Path) -> GuestReport:
    """The report in the file that QEMU writes; an empty one as long as there is no file."""
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
    """The first report that is `enough`. `check_alive` raises when the guest can no longer get there.

    Raises LabError when the guest reports an error or the time is up.
    """
    deadline = time.monotonic() + seconds
    while not enough(report := read_report(serial_path)):
        if report.error:
            raise LabError(f"the guest cannot do what it was told: {report.error}")
        check_alive()
        if time.monotonic() > deadline:
            raise LabError(f"the guest is not there after {seconds:g} s; what it said is in {serial_path}")
        time.sleep(POLL_SECONDS)
    return report


def wait_until_ready(
    serial_path: Path, *, seconds: float, check_alive: Callable[[], object] = lambda: None
) -> GuestReport:
    """The report of a guest whose sets are filled; see :func:`wait_for_report`."""
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
