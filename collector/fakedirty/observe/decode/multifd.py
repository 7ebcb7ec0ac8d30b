"""How multifd sends pages, by QEMU's answers: over how many channels, and compressed or not. Pure."""

from __future__ import annotations

from collections.abc import Mapping

MULTIFD = "multifd"  # the capability
PARAMETERS = ("multifd-channels", "multifd-compression")  # of query-migrate-parameters


def channels(answer: Mapping[str, object]) -> int | None:
    """How many channels send pages at once, 1 without multifd; None if the answer does not have it."""
    match answer.get(MULTIFD):
        case False:
            return 1
        case True if isinstance(number := answer.get("multifd-channels"), int) and number > 0:
            return number
    return None


def compressed(answer: Mapping[str, object]) -> bool | None:
    """Whether the channels compress pages; None if the answer does not have it."""
    match answer.get(MULTIFD):
        case False:
            return False
        case True if isinstance(method := answer.get("multifd-compression"), str):
            return method != "none"
    return None
