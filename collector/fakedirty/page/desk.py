"""What the page is answered with: looked up among those that run, and those that have been recorded."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from fakedirty.export.host import Attached
from fakedirty.record.restore import restore

from .assets import Body, body
from .ram import RamByRound
from .recorded import Recorded
from .state import Plain, details, overview
from .told import Witness

KEPT = 8  # answers, and maps, of the migrations that were looked at last

Kept_ = TypeVar("Kept_")


class Desk:
    """Each method is called by one thread at a time, but two of them may be at once."""

    def __init__(
        self, witness: Witness, recorded: Recorded, attached: Callable[[], Iterable[Attached]], host: str
    ) -> None:
        self._witness = witness
        self._recorded = recorded
        self._attached = attached
        self._host = host
        self._details: _Latest[tuple[str, Body]] = _Latest()
        self._maps: _Latest[RamByRound] = _Latest()

    def overview(self) -> Plain:
        """All migrations."""
        return overview(self._host, self._witness.all(), self._recorded.listing(), self._attached())

    def details(self, key: str) -> Body:
        """One of them; KeyError if it is not known."""
        if (told := self._witness.all().get(key)) is not None:
            return self._made(key, told.stamp, lambda: details(told.migration, told))
        found = self._recorded.listing().found[key]
        return self._made(key, found.stamp, lambda: details(restore(found.directory)))

    def _made(self, key: str, stamp: str, make: Callable[[], Plain]) -> Body:
        """As it was made for that stamp, or anew."""
        kept = self._details.get(key)
        if kept is None or kept[0] != stamp:
            kept = stamp, body(json.dumps({**make(), "stamp": stamp}, allow_nan=False).encode())
            self._details.keep(key, kept)
        return kept[1]

    def ram(self, key: str) -> Plain:
        """Its RAM by round, as far as it has been read; empty where there are no page records."""
        found = self._recorded.listing().found.get(key)
        if found is None:
            if key not in self._witness.all():
                raise KeyError(key)
            return {}
        counts = self._maps.get(key) or RamByRound()
        picture = counts.read(found.directory)
        self._maps.keep(key, counts)
        return picture.plain() if picture is not None else {}


class _Latest(Generic[Kept_]):
    """What was asked for last, by key."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Kept_] = OrderedDict()

    def get(self, key: str) -> Kept_ | None:
        if key in self._kept:
            self._kept.move_to_end(key)
        return self._kept.get(key)

    def keep(self, key: str, kept: Kept_) -> None:
        self._kept[key] = kept
        self._kept.move_to_end(key)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
