"""Which pages the cache of XBZRLE keeps.

QEMU's cache has one place for each address modulo its size (migration/page_cache.c). A page stays in its place as long
as it was used in the last two rounds: another page does not displace it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .guest_pages import GuestPages

USUAL_SECONDS = 1.0  # the time by whose writes the pages that contend for a place are compared


def cache_owners(guest: GuestPages, cache_bytes: int, page_bytes: float) -> npt.NDArray[np.bool_]:
    """The pages that have a place of the cache: of those that contend for it, the one that is written most often.

    Args:
        guest: its pages.
        cache_bytes: the size of the cache.
        page_bytes: the size of a page.

    Returns:
        Whether each page has a place; shape (pages,).
    """
    places = max(1, int(cache_bytes / page_bytes / guest.weight))
    at = np.arange(guest.pages)
    order = np.lexsort((at, -guest.dirtied(USUAL_SECONDS, "expected"), at % places))
    place = (at % places)[order]
    owners = np.zeros(guest.pages, bool)
    owners[order[np.concatenate([[True], place[1:] != place[:-1]])]] = True
    return owners
