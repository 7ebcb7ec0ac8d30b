"""Finds the two halves of each migration among many recordings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fakedirty.errors import RecordError

from .half import SOURCE, Half
from .match import Match, bytes_agree, match


@dataclass(frozen=True, slots=True)
class Unpaired:
    """A half without another one, and why."""

    half: Half
    reason: str


def find_pairs(halves: Sequence[Half]) -> tuple[list[Match], list[Unpaired]]:
    """Pair halves that have one candidate each.

    If a half has several candidates, those whose bytes differ are none. If several are left, none of them is taken.

    Returns:
        The pairs, in order of their starts, and the halves that are in none, in the order given.
    """
    fits: dict[tuple[int, int], Match] = {}
    refusals: dict[tuple[int, int], str] = {}
    for s, source in enumerate(halves):
        for d, destination in enumerate(halves):
            if source.side == SOURCE and destination.side != SOURCE:
                try:
                    fits[s, d] = match(source, destination)
                except RecordError as error:
                    refusals[s, d] = str(error)
    candidates = {number: _candidates(number, fits) for number in range(len(halves))}
    pairs = [found for (s, d), found in fits.items() if candidates[s] == [(s, d)] and candidates[d] == [(s, d)]]
    paired = {id(half) for found in pairs for half in (found.source, found.destination)}
    unpaired = [
        Unpaired(half, _why_not(number, halves, fits, candidates, refusals))
        for number, half in enumerate(halves)
        if id(half) not in paired
    ]
    return sorted(pairs, key=lambda found: found.source.started_ns), unpaired


def _candidates(number: int, fits: dict[tuple[int, int], Match]) -> list[tuple[int, int]]:
    """The pairs that a half may be in."""
    found = [pair for pair in fits if number in pair]
    if len(found) > 1:
        found = [pair for pair in found if bytes_agree(fits[pair].source, fits[pair].destination) is not False]
    return found


def _why_not(
    number: int,
    halves: Sequence[Half],
    fits: dict[tuple[int, int], Match],
    candidates: dict[int, list[tuple[int, int]]],
    refusals: dict[tuple[int, int], str],
) -> str:
    own, dropped = _others(number, candidates[number]), _others(number, fits)
    if len(own) > 1:
        return f"more than one candidate: {_named([halves[each] for each in own])}"
    if own:
        rivals = len(candidates[own[0]])
        what = {0: "has candidates whose bytes differ from its own", 1: "fits another one better"}
        return f"{halves[own[0]].name} {what.get(rivals, 'has more than one candidate')}"
    if dropped:
        return f"the bytes of all candidates differ from its own: {_named([halves[each] for each in dropped])}"
    why = [reason for pair, reason in refusals.items() if number in pair]
    if len(why) == 1:
        return why[0]
    other = "destination" if halves[number].side == SOURCE else "source"
    return f"none of {len(why)} recordings of a {other} fits" if why else f"there is no recording of a {other}"


def _others(number: int, pairs: Iterable[tuple[int, int]]) -> list[int]:
    """The other halves of the pairs that a half is in."""
    return [s if d == number else d for s, d in pairs if number in (s, d)]


def _named(halves: Sequence[Half]) -> str:
    """Their names; their directories where two have one name, as a recording and its copy have."""
    names = [half.name for half in halves]
    return ", ".join(names if len(set(names)) == len(names) else [str(half.directory) for half in halves])
