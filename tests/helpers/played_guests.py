"""Guests that are migrated by arithmetic, as QEMU's loop would, round by round: for tests of what is predicted."""

from __future__ import annotations

from dataclasses import dataclass

from fakedirty.model.enums import Kind, Mode
from fakedirty.model.round import Round

WHOLE = 4096  # what QEMU takes a page for when it decides
PAGE = WHOLE + 8  # on the wire, as it is
RAM = 131_072
LOOK = 0.05  # seconds of sending between two looks of QEMU's at what is left


@dataclass(frozen=True)
class Guest:
    """It rewrites `pages` in `sweep` seconds, of which a share changes; the link takes `rate` bytes a second.

    A page takes `wire` bytes: fewer than it has where pages are compressed.
    """

    pages: int
    changed: float
    sweep: float = 0.03
    rate: float = 125e6
    limit: float = 0.3
    hashing: float = 0.3e-6
    wire: int = PAGE

    def dirties(self, seconds: float) -> int:
        return round(self.pages * min(1.0, seconds / self.sweep))


def played(guest: Guest, rounds: int, *, skip_after: int | None = None) -> tuple[list[Round], float | None]:
    """So many rounds at most, and the total time if it came to its end within them. The last one is the switchover."""
    done: list[Round] = []
    now, dirty, left = 0.0, RAM, 0
    while len(done) < rounds:
        skip = skip_after is not None and len(done) >= skip_after
        first = not done
        unaware = skip and done[-1].mode is not Mode.SKIP  # of what it will skip, until a round has ended in that mode
        sent = 1.0 if first or not skip else guest.changed
        seconds, counted = (
            dirty * (size / guest.rate * sent + guest.hashing * (not first)) for size in (guest.wire, WHOLE)
        )
        if counted <= guest.limit and not first and not unaware:
            return done, now + seconds
        # the pages at the end of a round are left, of both kinds alike
        kept = 0 if first or unaware else round(dirty * max(0.0, guest.limit * seconds / counted - LOOK) / seconds)
        visited = dirty - kept
        took = seconds * visited / dirty
        fake = 0 if first else round(visited * (1 - guest.changed))
        skipped = fake if skip else 0
        done.append(
            Round(
                round=len(done) + 1,
                kind=Kind.BULK if first else Kind.ITERATIVE,
                mode=Mode.SKIP if skip else Mode.OBSERVE,
                hash="xxh3-64",
                start_seconds=now,
                duration_seconds=took,
                dirty_pages=dirty,
                visited_pages=visited,
                first_pages=visited if first else 0,
                changed_pages=0 if first else visited - fake,
                fake_pages=fake,
                zero_pages=0,
                normal_pages=visited - skipped,
                skipped_pages=skipped,
                left_pages=kept,
                transferred_bytes=(visited - skipped) * guest.wire,
                saved_bytes=skipped * guest.wire,
                hash_seconds=visited * guest.hashing,
            )
        )
        now += took
        left = kept
        fresh = guest.dirties(took)
        dirty = max(fresh, left) if fresh >= guest.pages else left + fresh - left * fresh // guest.pages
    return done, None
