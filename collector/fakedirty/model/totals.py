"""Compares the pages that the rounds of a migration count with QEMU's own totals: the last check.

``normal`` and ``duplicate`` of query-migrate belong to one migration and count every sent page once. The counters of
XBZRLE go on from one migration to the next: they bound the number of deltas, and cannot check it. For a migration that
failed or was cancelled, QEMU reports only the totals that the patch series counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .enums import StringEnum
from .round import CLASSES, Round, known, total_if_known


class Outcome(StringEnum):
    """The outcome of the check."""

    EQUAL = 0  # every page that QEMU sent is in a round
    PARTIAL = 1  # pages are in no round, and the reason is known
    MISSING = 2  # the rounds count other pages than QEMU
    UNCHECKED = 3  # there are no totals to compare with


@dataclass(frozen=True, slots=True)
class Totals:
    """The result of the check; pages and bytes are None where they are not known.

    Attributes:
        outcome: the outcome.
        reason: why it is not `EQUAL`; empty where it is.
        counted_pages: pages that all rounds before postcopy count as sent.
        reported_pages: pages that QEMU counts as sent.
        postcopy_pages: pages that are in no round because postcopy moved them.
        postcopy_bytes: bytes that postcopy moved, by QEMU's own count.
        late_pages: pages that multifd channels counted as sent after the last round; rounds count them as visited only.
    """

    outcome: Outcome
    reason: str = ""
    counted_pages: int | None = None
    reported_pages: int | None = None
    postcopy_pages: int | None = None
    postcopy_bytes: int | None = None
    late_pages: int | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """The input of the check: a migration at its end.

    Attributes:
        state: QEMU's last state.
        ended: that state is an end.
        rounds: the rounds before postcopy.
        report: the last answer of query-migrate.
        unreported: why there is no report, or why it may belong to another migration; empty if neither, or not known.
        joined_late: the migration was already running when the observer attached.
        postcopy: postcopy moved pages.
        interrupted: postcopy was interrupted, and pages that were on the way were sent again.
        apart: no page that postcopy moved is counted in `rounds`.
    """

    state: str
    ended: bool
    rounds: Sequence[Round]
    report: Mapping[str, object]
    unreported: str = ""
    joined_late: bool = False
    postcopy: bool = False
    interrupted: bool = False
    apart: bool = True

    def reported(self, *path: str) -> int | None:
        """A number of the report, see :func:`number`."""
        return number(self.report, *path)


def number(report: Mapping[str, object], *path: str) -> int | None:
    """A whole number of an answer of query-migrate, by the names of its members; None if there is none.

    >>> number({"ram": {"normal": 7}}, "ram", "normal")
    7
    """
    value: object = report
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def expected_time_ns(report: Mapping[str, object]) -> int | None:
    """Nanoseconds that QEMU expected RAM to take in the switchover, by an answer of query-migrate.

    None if QEMU knew no bandwidth. Earlier versions of the patch series report 0 in that case.
    """
    expected_ns = number(report, "switchover", "expected-time")
    nothing = number(report, "switchover", "expected-pages") == 0
    return expected_ns if expected_ns or nothing else None


def check_totals(of: Ended) -> Totals:
    """Compare the rounds of a migration with QEMU's totals."""
    if not of.ended:
        return _unchecked("its end was not observed")
    if not of.report:
        return _unchecked(of.unreported or "QEMU gave no final report: no QMP monitor answered")
    normal, zero = of.reported("ram", "normal"), of.reported("ram", "duplicate")
    found = _check_classes(of) if normal is None or zero is None else _check_sums(of, normal, zero)
    if of.unreported and found.outcome is Outcome.MISSING:
        return _unchecked(of.unreported, found.counted_pages)
    return found


def _unchecked(reason: str, counted: int | None = None, reported: int | None = None) -> Totals:
    return Totals(Outcome.UNCHECKED, reason, counted, reported)


def _check_classes(of: Ended) -> Totals:
    """By the classes, which the patch series counts for the whole migration while its mode is on."""
    counted = [known(of.rounds, column) for column in CLASSES]
    reported = [of.reported("fake-dirty", column.removesuffix("_pages")) for column in CLASSES]
    if None in counted or None in reported or not of.rounds:
        return _unchecked(f"QEMU reports no totals of a migration that is {of.state}")
    sums = total_if_known(counted), total_if_known(reported)
    if counted == reported:
        return Totals(Outcome.EQUAL, "", *sums)
    return _different(of, *sums)


def _check_sums(of: Ended, normal: int, zero: int) -> Totals:
    sent = known(of.rounds, "normal_pages"), known(of.rounds, "zero_pages")
    reported = normal + zero
    counted = by_rounds = total_if_known(sent)
    encoded = [known(of.rounds, column) for column in ("xbzrle_pages", "unchanged_pages")]
    if counted is None or (counted, *sent) != (reported, normal, zero):
        # other threads may count a page as sent after its round; its round counts it as visited
        visited, skipped = known(of.rounds, "visited_pages"), known(of.rounds, "skipped_pages")
        late = bool(of.reported("ram", "multifd-bytes")) and visited is not None
        if late and visited is not None and None not in encoded and skipped is not None:
            counted = visited - skipped - (total_if_known(encoded) or 0)
            sent = counted - zero, zero
        elif counted is None and visited is not None and _deltas(of, visited, reported):
            return _deltas_unknown(of, visited, reported)
        elif counted is None and visited is not None and sent[1] is not None and not _makes_deltas(of):
            counted, sent = visited, (visited - sent[1], sent[1])
    if counted is None:
        blind = [r for r in of.rounds if r.normal_pages is None and r.visited_pages is None]
        why = f": {blind[0].invalid_reason}" if blind and blind[0].invalid_reason else ""
        return _unchecked(f"the pages of {len(blind)} rounds were not counted{why}", None, reported)
    if of.postcopy:
        return _with_postcopy(of, counted, reported, normal - (sent[0] or 0))
    if sent == (normal, zero):
        late_pages = None if by_rounds is None else counted - by_rounds
        return Totals(Outcome.EQUAL, "", counted, reported, late_pages=late_pages or None)
    return _different(of, counted, reported)


def _deltas(of: Ended, visited: int, reported: int) -> bool:
    """Whether XBZRLE deltas may be the difference: the rounds do not distinguish them from normal pages."""
    return _makes_deltas(of) and known(of.rounds, "normal_pages") is None and visited >= reported


def _makes_deltas(of: Ended) -> bool:
    """Whether XBZRLE is on: QEMU reports its counters only then."""
    return of.reported("xbzrle-cache", "pages") is not None


def _deltas_unknown(of: Ended, visited: int, reported: int) -> Totals:
    encoded = (of.reported("xbzrle-cache", "pages") or 0) - (of.reported("xbzrle-cache", "overflow") or 0)
    if visited == reported + encoded:
        return Totals(Outcome.EQUAL, "", visited, reported + encoded)
    if visited < reported + encoded:
        why = "QEMU counts the deltas of XBZRLE on from the migrations before"
        return _unchecked(why, visited, reported + encoded)
    return _different(of, visited, reported + encoded)


def _with_postcopy(of: Ended, counted: int, reported: int, normal: int) -> Totals:
    """Postcopy moved the pages that are in no round, if its bytes are enough for them; `normal` of them are whole."""
    sent, size = of.reported("ram", "postcopy-bytes"), of.reported("ram", "page-size")
    if not of.apart:
        amount = "pages" if sent is None else f"{sent:,} bytes"
        reason = f"postcopy moved {amount}, which this level cannot tell from what was sent before"
        return Totals(Outcome.PARTIAL, reason, counted, reported, None, sent)
    moved = reported - counted
    if moved == 0 and not normal:
        return Totals(Outcome.EQUAL, "", counted, reported, 0, sent)
    if moved <= 0 or (sent is not None and size and normal * size > sent):
        wrong = _different(of, counted, reported)
        reason = wrong.reason if sent is None else f"{wrong.reason}; postcopy moved {sent:,} bytes"
        return Totals(Outcome.MISSING, reason, counted, reported, None, sent)
    reason = f"postcopy moved {moved:,} of {reported:,} pages: they are in no round"
    left = of.reported("postcopy", "pages")
    if left is not None and (moved < left if of.interrupted else moved != left):
        return Totals(Outcome.MISSING, f"{reason}, and {left:,} were left to it", counted, reported, moved, sent)
    return Totals(Outcome.PARTIAL, reason, counted, reported, moved, sent)


def _different(of: Ended, counted: int | None, reported: int | None) -> Totals:
    assert counted is not None
    assert reported is not None
    missing = reported - counted
    if of.joined_late and missing > 0:
        reason = f"{missing:,} of {reported:,} pages are in no round that was seen: it was already running"
        return Totals(Outcome.PARTIAL, reason, counted, reported)
    if missing > 0:
        reason = f"{missing:,} of the {reported:,} pages that QEMU sent are in no round"
    elif missing < 0:
        reason = f"the rounds count {-missing:,} pages more than the {reported:,} that QEMU sent"
    else:
        reason = f"the rounds count other kinds of pages than QEMU, {reported:,} in all"
    return Totals(Outcome.MISSING, reason, counted, reported)
