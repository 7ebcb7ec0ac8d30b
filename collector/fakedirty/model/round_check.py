"""Checks of the rounds of a migration as they end: laws of conservation, lost events, and what a probe counted."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from .events import RoundEnded
from .round import OTHER_LAWS, Round, broken_law, uncounted

# most pages that multifd can hold: one packet of 128 pages for each of 255 channels, and one that is being filled
IN_CHANNELS = 256 * 128

INEXACT = "not exact by QEMU's own word: multifd and RDMA count a page where it is sent, not where it is queued"


@dataclass(slots=True)
class RoundCheck:
    """What the check of a round needs to know of those before it.

    Attributes:
        lost: events that were lost since the last round.
        uncounted: visited pages that no round has counted as sent so far.
        of_postcopy: indices of rounds in which postcopy moved pages.
        inexact: indices of rounds that QEMU calls not exact.
    """

    lost: int = 0
    uncounted: int = 0
    of_postcopy: set[int] = field(default_factory=set)
    inexact: set[int] = field(default_factory=set)

    def judged(self, event: RoundEnded, index: int, *, partial: bool) -> Round:
        """The round with its lost events and, if it is invalid, the reasons.

        Args:
            event: the round has ended.
            index: how many rounds came before it.
            partial: the migration was joined while it ran, so that earlier rounds were not seen.
        """
        lost, self.lost = event.round.lost_events + self.lost, 0
        if event.postcopy:
            self.of_postcopy.add(index)
        if event.exact is False:
            self.inexact.add(index)
        remark, law = self._check_laws(event.round, event.exact, partial)
        reasons = [event.round.invalid_reason, event.flaw, law]
        reasons += [
            f"{column}: QEMU counts {counted}, the probe {seen}"
            for column, seen in event.seen.items()
            if (counted := getattr(event.round, column)) is not None and counted != seen
        ]
        if lost:
            reasons.append(f"{lost} events lost")
        reason = "; ".join(reason for reason in reasons if reason)
        return replace(event.round, lost_events=lost, invalid_reason=reason, remark=remark)

    def _check_laws(self, counts: Round, exact: bool | None, partial: bool) -> tuple[str, str]:
        """A remark, and the law that is broken; each may be empty.

        While the mode is off, QEMU counts a page as visited when it is queued, and as sent when a channel of multifd
        takes it. Pages that a round lacks as sent are in later rounds then; the totals check that at the end. Where
        QEMU reports itself which rounds are not exact, only those are excused, with the mode on too.
        """
        late = uncounted(counts)
        strict = counts.first_pages is not None if exact is None else exact
        remark = "; ".join(filter(None, (counts.remark, INEXACT if exact is False else "")))
        if late is None or strict:
            return remark, broken_law(counts)
        self.uncounted += late
        least = -IN_CHANNELS if partial else 0
        if not late or not least <= self.uncounted <= IN_CHANNELS:
            return remark, broken_law(counts)
        kept = f"{late} of its pages are" if late > 0 else f"{-late} pages of earlier rounds are"
        there = "in later rounds" if late > 0 else "here"
        why = "multifd counts in its channels" if exact is None else INEXACT
        return f"{kept} counted as sent {there}: {why}", broken_law(counts, OTHER_LAWS)
