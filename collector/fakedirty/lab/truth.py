"""Page records compared with the truth: the page sets that a ground-truth guest reports, by page frame.

For every visit of a page in a set, the truth allows certain classes and dispositions:

- a page's first visit with records is ``first``, and no other is;
- a page of set ``fake`` is never ``changed``;
- a page of set ``changed`` is never ``fake`` if two whole sweeps passed between its visits. In less time it may be:
  it was written and marked dirty before the first visit, and still holds the same at the next;
- a page of set ``untouched`` is visited once;
- a page of ``zero``, ``aba`` or ``phased`` may be either: that depends on its content at each visit;
- only a ``fake`` page is skipped, and only a page of set ``zero`` is sent as zero.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from fakedirty.lab.guests.page_frames import FrameNumbers
from fakedirty.model.enums import Disposition, Kind, PageClass, StringEnum

Numbers = npt.NDArray[np.int64]
Truths = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class PageRecords:
    """Visits of pages of one RAM block, in their order, as arrays of one length.

    Attributes:
        page: index of the page in the block.
        page_class: number of a :class:`PageClass`.
        disposition: number of a :class:`Disposition`.
        round: number of the round.
        time_ns: when the batch that has the visit was closed, CLOCK_MONOTONIC.
    """

    page: Numbers
    page_class: Numbers
    disposition: Numbers
    round: Numbers
    time_ns: Numbers

    @classmethod
    def of_frame(cls, pages: pd.DataFrame, block: str = "pc.ram") -> PageRecords:
        """The visits of one block.

        Args:
            pages: page records of one migration, as ``fakedirty.load(path).pages`` gives them.
            block: name of the RAM block.
        """
        own = pages[pages["block"] == block]
        return cls(
            own["page"].to_numpy(np.int64),
            _numbers(own["class"], PageClass),
            _numbers(own["disposition"], Disposition),
            own["round"].to_numpy(np.int64),
            own["time_ns"].to_numpy(np.int64),
        )

    def __len__(self) -> int:
        return len(self.page)


@dataclass(frozen=True, slots=True)
class SetScore:
    """The score of one page set.

    Attributes:
        visits: records of its pages.
        undecided: visits whose class the truth does not know.
        unvisited: pages without a record.
        wrong: indexes of the records that the truth forbids.
    """

    visits: int
    undecided: int
    unvisited: int
    wrong: Numbers

    @property
    def judged(self) -> int:
        """How many visits have a class that the truth knows."""
        return self.visits - self.undecided


@dataclass(frozen=True, slots=True)
class ClassScore:
    """The scores of the page sets, by name."""

    sets: Mapping[str, SetScore]

    @property
    def judged(self) -> int:
        """How many visits have a class that the truth knows, in all sets."""
        return sum(score.judged for score in self.sets.values())

    @property
    def wrong(self) -> int:
        """How many visits the truth forbids, in all sets."""
        return sum(len(score.wrong) for score in self.sets.values())

    @property
    def right_share(self) -> float | None:
        """The share of right visits among the judged ones; None if none was judged."""
        return 1 - self.wrong / self.judged if self.judged else None

    def __str__(self) -> str:
        sets = ", ".join(
            f"{name}: {score.visits:,} visits, {score.undecided:,} undecided, {len(score.wrong):,} wrong"
            for name, score in self.sets.items()
        )
        return f"{self.judged - self.wrong:,} of {self.judged:,} judged visits are right ({sets})"


def switchover_rounds(rounds: pd.DataFrame) -> frozenset[int]:
    """The rounds in which the guest was stopped, in ``fakedirty.load(path).rounds``."""
    return frozenset(int(number) for number in rounds.loc[rounds["kind"] == str(Kind.SWITCHOVER), "round"])


def judge(
    sets: Mapping[str, FrameNumbers],
    records: PageRecords,
    *,
    sweep_seconds: float,
    switchover: Collection[int] = (),
    forgotten: Collection[int] = (),
) -> ClassScore:
    """Compare the records of one migration with the page sets of its guest.

    Args:
        sets: the page frames of each set.
        records: all records of the migration, from its start on.
        sweep_seconds: the guest's longest sweep with its pause, as it reports after the migration.
        switchover: the rounds in which the guest was stopped.
        forgotten: the rounds in which QEMU dropped its records (a mode was turned on, or the hash changed).
    """
    history = _History.of(records, frozenset(forgotten))
    swept = ~np.isin(records.round, list(switchover)) & (history.interval_ns >= 2e9 * sweep_seconds)
    scores = {}
    for name, frames in sets.items():
        visits = np.flatnonzero(np.isin(records.page, frames))
        forbidden, known = RULES[name](records, history, swept)
        forbidden = forbidden | history.broken_first | _impossible(records, name)
        known = known | forbidden
        scores[name] = SetScore(
            visits=len(visits),
            undecided=int((~known[visits]).sum()),
            unvisited=len(np.setdiff1d(frames, records.page)),
            wrong=visits[forbidden[visits]],
        )
    return ClassScore(scores)


@dataclass(frozen=True, slots=True)
class _History:
    """What came before each visit, as arrays of one length.

    Attributes:
        interval_ns: the shortest time that may have passed since the visit before; 0 without one.
        is_first: whether QEMU has no record to compare with.
        broken_first: whether the class contradicts that.
    """

    interval_ns: Numbers
    is_first: Truths
    broken_first: Truths

    @classmethod
    def of(cls, records: PageRecords, forgotten: Collection[int]) -> _History:
        before = _visit_before(records.page)
        seen = before >= 0
        rounds_dropped = np.sort(np.array(list(forgotten), np.int64))
        epoch = np.searchsorted(rounds_dropped, records.round, side="right")
        is_first = ~seen | (epoch != epoch[before])
        # within the round in which records were dropped, it is not known which visits came before that
        unclear = np.isin(records.round, rounds_dropped)
        unclear |= seen & unclear[before] & ~is_first
        # a visit lies between the close of its batch and that of the batch before it
        earliest = _batch_before(records.time_ns)
        interval = np.where(seen, earliest - records.time_ns[before], 0)
        recorded_first = records.page_class == PageClass.FIRST
        return cls(interval, is_first, (recorded_first != is_first) & ~unclear)


Rule = Callable[[PageRecords, _History, Truths], tuple[Truths, Truths]]


def _fake(records: PageRecords, history: _History, _swept: Truths) -> tuple[Truths, Truths]:
    return records.page_class == PageClass.CHANGED, np.ones(len(records), bool)


def _changed(records: PageRecords, history: _History, swept: Truths) -> tuple[Truths, Truths]:
    return (records.page_class == PageClass.FAKE) & swept, history.is_first | swept


def _untouched(records: PageRecords, history: _History, _swept: Truths) -> tuple[Truths, Truths]:
    return records.page_class != PageClass.FIRST, np.ones(len(records), bool)


def _either(records: PageRecords, history: _History, _swept: Truths) -> tuple[Truths, Truths]:
    return np.zeros(len(records), bool), history.is_first


# for every visit, as if its page were of the set: whether its class is forbidden, and whether the truth knows it
RULES: dict[str, Rule] = {
    "fake": _fake,
    "changed": _changed,
    "untouched": _untouched,
    "zero": _either,
    "aba": _either,
    "phased": _either,
}


def _impossible(records: PageRecords, name: str) -> Truths:
    """Dispositions that no page of the set can have in its class."""
    skipped = (records.disposition == Disposition.SKIPPED) & (records.page_class != PageClass.FAKE)
    impossible: Truths = skipped | ((records.disposition == Disposition.ZERO) & (name != "zero"))
    return impossible


def _visit_before(page: Numbers) -> Numbers:
    """For every visit, the index of the visit before of the same page; -1 without one."""
    order = np.argsort(page, kind="stable")
    before = np.full(len(page), -1, np.int64)
    same = page[order][1:] == page[order][:-1]
    before[order[1:][same]] = order[:-1][same]
    return before


def _batch_before(time_ns: Numbers) -> Numbers:
    """For every visit, when the batch before its own was closed; for the first batch, when that was closed."""
    begins = np.flatnonzero(np.diff(time_ns, prepend=time_ns[:1] - 1))
    closes = np.concatenate([time_ns[:1], time_ns[begins[:-1]]]) if len(begins) else time_ns
    earliest: Numbers = np.repeat(closes, np.diff(begins, append=len(time_ns)))
    return earliest


def _numbers(words: pd.Series[str], known: type[StringEnum]) -> Numbers:
    """Names of an enumeration as its numbers; a name that it does not have becomes -1."""
    numbers = words.astype(str).map({str(word): int(word) for word in known})
    return np.asarray(numbers.fillna(-1), np.int64)
