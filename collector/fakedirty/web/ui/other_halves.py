"""The other half of a migration whose source and destination are both recorded below the directory of the page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fakedirty.record.halves.half import NOT_RECORDED, Half, half_of
from fakedirty.record.halves.joined_record import joined_record
from fakedirty.record.halves.match import Match
from fakedirty.record.halves.pairs import find_pairs
from fakedirty.show.joined import downtime_words, notes_of


@dataclass(frozen=True, slots=True)
class OtherHalf:
    """The other half of a migration: its key, and what is shown of both."""

    key: str
    text: str


def other_halves(recordings: Mapping[str, tuple[Path, Mapping[str, Any]]]) -> dict[str, OtherHalf]:
    """The other half of each migration that has one.

    Args:
        recordings: by key, the directory of a recording, and the members of its manifest and of its summary.
    """
    halves = dict(_halves(recordings))
    keys = {id(half): key for key, half in halves.items()}
    found: dict[str, OtherHalf] = {}
    for pair in find_pairs(list(halves.values()))[0]:
        source, destination = keys[id(pair.source)], keys[id(pair.destination)]
        found[source] = OtherHalf(destination, f"Its destination: {pair.destination.name}. {_downtime(pair)}")
        found[destination] = OtherHalf(source, f"Its source: {pair.source.name}. {_downtime(pair)}")
    return found


def _halves(recordings: Mapping[str, tuple[Path, Mapping[str, Any]]]) -> Iterable[tuple[str, Half]]:
    for key, (directory, content) in recordings.items():
        try:
            yield key, half_of(directory, content, content)
        except NOT_RECORDED:  # it is shown as far as it can be read, and has no other half
            continue


def _downtime(pair: Match) -> str:
    record = joined_record(pair)
    stopped = (
        [] if pair.downtime_ns is None else [f"By both recordings, the guest was stopped for {downtime_words(record)}"]
    )
    return "".join(f"{text[0].upper()}{text[1:]}. " for text in (*stopped, *notes_of(record))).rstrip()
