"""What skipping costs and saves: the time of its hashes, and the time that sending what it skipped would take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .enums import Kind, Mode
from .round import Round

LAST_ROUNDS = 3  # what a guest writes changes
RECENT_ROUNDS = 64  # in which the link is looked for
TELLING_SECONDS = 0.1  # a shorter round says nothing of the link: its pages may still wait in a buffer


@dataclass(frozen=True, slots=True)
class SkipEconomy:
    """Over so many `rounds`: seconds of copying and hashing, bytes not sent, and the bytes a second of the link.

    `hash_seconds` are those that it took at least: rounds have the sum over the channels, which hash at once. None
    where it is not known how many they are.
    """

    rounds: int
    hash_seconds: float | None
    saved_bytes: int
    link_rate: float

    @property
    def saved_seconds(self) -> float:
        """What sending them would have taken."""
        return self.saved_bytes / self.link_rate

    @property
    def pays(self) -> bool | None:
        """Whether it saves more than it costs; None where it is not known what it costs."""
        return None if self.hash_seconds is None else self.saved_seconds > self.hash_seconds


def economy(rounds: Sequence[Round], channels: int | None, last: int = LAST_ROUNDS) -> SkipEconomy | None:
    """Of the last rounds in which pages could be skipped; None while they are fewer, or the link is unknown.

    The bulk round, and pages that are hashed for the first time, are what it takes to begin: they do not count. The
    link is as fast as the fastest round that was sent by it. `channels` is how many hash at once, 1 without multifd;
    None where it is not known.
    """
    recent = rounds[-RECENT_ROUNDS:]
    skipping = [r for r in recent if _could_skip(r)][-last:]
    rates = [
        r.transferred_bytes / r.duration_seconds
        for r in recent
        if r.transferred_bytes and r.duration_seconds >= TELLING_SECONDS
    ]
    if len(skipping) < last or not rates:
        return None
    return SkipEconomy(
        len(skipping),
        sum(r.hash_seconds or 0 for r in skipping) / channels if channels else None,
        sum(r.saved_bytes or 0 for r in skipping),
        max(rates),
    )


def _could_skip(r: Round) -> bool:
    seen = r.hash_seconds is not None and r.saved_bytes is not None
    compared = bool((r.fake_pages or 0) + (r.changed_pages or 0))
    return seen and compared and r.mode is Mode.SKIP and r.kind is Kind.ITERATIVE
