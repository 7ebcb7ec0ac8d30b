"""Costs and savings of skip mode: the time spent on hashes, and the time that sending the skipped pages would take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .enums import Kind, Mode
from .round import Round

LAST_ROUNDS = 3  # few, because a guest may begin to write other pages
RECENT_ROUNDS = 64  # of which the fastest gives the rate of the link
LONG_ENOUGH_SECONDS = 0.1  # in a shorter round many of the pages sent may still be in a buffer, not on the link


@dataclass(frozen=True, slots=True)
class SkipEconomy:
    """Costs and savings of some rounds.

    Attributes:
        rounds: how many rounds these are.
        hash_seconds: the least time that copying and hashing can have taken, in seconds. A round has the sum over all
            channels, which hash at the same time. None where the number of channels is not known.
        saved_bytes: bytes that skipped pages would have taken on the link.
        link_rate: bytes a second of the link.
    """

    rounds: int
    hash_seconds: float | None
    saved_bytes: int
    link_rate: float

    @property
    def saved_seconds(self) -> float:
        """Seconds that sending `saved_bytes` would have taken."""
        return self.saved_bytes / self.link_rate

    @property
    def pays(self) -> bool | None:
        """Whether skipping saved more time than it cost; None where the cost is not known."""
        return None if self.hash_seconds is None else self.saved_seconds > self.hash_seconds


def economy(rounds: Sequence[Round], channels: int | None, last: int = LAST_ROUNDS) -> SkipEconomy | None:
    """Costs and savings of the `last` rounds in which pages could be skipped.

    The bulk round, and rounds in which every page was hashed for the first time, are left out: they are the price of
    turning skip on. The link is taken to be as fast as the fastest recent round was sent.

    Args:
        rounds: all rounds so far.
        channels: channels that hash at the same time, 1 without multifd; None if not known.
        last: number of rounds.

    Returns:
        None while there are fewer than `last` such rounds, or while no round shows the rate of the link.
    """
    recent = rounds[-RECENT_ROUNDS:]
    skipping = [r for r in recent if _could_skip(r)][-last:]
    rates = [
        r.transferred_bytes / r.duration_seconds
        for r in recent
        if r.transferred_bytes and r.duration_seconds >= LONG_ENOUGH_SECONDS
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
