"""The bodies of the page's responses, made of migrations that run and of those that have been recorded."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from fakedirty.export.host import AttachedCounts
from fakedirty.record.restore import restore

from .assets import Body, body
from .documents import Plain, details, overview
from .live_migrations import LiveMigrations
from .ram_map import RamByRound
from .recorded import Listing, Recorded

KEPT = 8  # bodies, and maps, of the migrations that were looked at last

Value = TypeVar("Value")


class Views:
    """Each method is called by one thread at a time, but two of them may be called at once."""

    def __init__(
        self, live: LiveMigrations, recorded: Recorded, attached: Callable[[], Iterable[AttachedCounts]], host: str
    ) -> None:
        self._live = live
        self._recorded = recorded
        self._attached = attached
        self._host = host
        self._details: _Latest[tuple[str, Body]] = _Latest()
        self._maps: _Latest[_Map] = _Latest()

    def overview(self) -> Body:
        """All migrations."""
        return _body(overview(self._host, self._live.all(), self._recorded.listing(), self._attached()))

    def details(self, key: str) -> Body:
        """One migration.

        Raises:
            KeyError: if it is not known.
        """
        listing = self._recorded.listing()
        if (live := self._live.all().get(key)) is not None:
            stamp = listing.stamp(key, live.stamp)
            return self._made(key, stamp, lambda: {**details(live.migration, live), **_other(listing, key)})
        found = listing.found[key]
        stamp = listing.stamp(key, found.stamp)
        return self._made(key, stamp, lambda: {**details(restore(found.directory)), **_other(listing, key)})

    def _made(self, key: str, stamp: str, make: Callable[[], Plain]) -> Body:
        """The body that was made for that stamp, or a new one."""
        kept = self._details.get(key)
        if kept is None or kept[0] != stamp:
            kept = stamp, _body({**make(), "stamp": stamp})
            self._details.keep(key, kept)
        return kept[1]

    def ram(self, key: str) -> Body:
        """RAM by round of one migration, as far as it has been read; an empty object without page records.

        Raises:
            KeyError: if it is not known.
        """
        found = self._recorded.listing().found.get(key)
        if found is None or not found.directory.exists():  # it has just begun, or got its final name
            found = self._recorded.listing(fresh=True).found.get(key)
        if found is None and key not in self._live.all():
            raise KeyError(key)
        known = self._maps.get(key) or _Map()
        if found is not None:
            picture = known.counts.read(found.directory)
            if known.files != known.counts.files:
                known.files = known.counts.files
                known.body = _body({} if picture is None else picture.plain())
            self._maps.keep(key, known)
        return known.body


def _other(listing: Listing, key: str) -> Plain:
    """The other half of a migration, for the link to it."""
    other = listing.others.get(key)
    return {"other_half": None if other is None else {"key": other.key, "text": other.text}}


def _body(plain: Plain) -> Body:
    return body(json.dumps(plain, allow_nan=False).encode())


@dataclass(slots=True)
class _Map:
    """The counts so far, and the body that was made of them after so many files."""

    counts: RamByRound = field(default_factory=RamByRound)
    files: int = 0
    body: Body = field(default_factory=lambda: _body({}))


class _Latest(Generic[Value]):
    """The values that were used last, by key."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Value] = OrderedDict()

    def get(self, key: str) -> Value | None:
        if key in self._kept:
            self._kept.move_to_end(key)
        return self._kept.get(key)

    def keep(self, key: str, value: Value) -> None:
        self._kept[key] = value
        self._kept.move_to_end(key)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
