"""Numbers as short text for a column: at most five characters with three significant digits, and never a false 0."""

from __future__ import annotations

UNSEEN = "-"

THOUSANDS = (("", 1), ("k", 10**3), ("M", 10**6), ("G", 10**9), ("T", 10**12), ("P", 10**15))


def compact(value: float | None) -> str:
    """A count or a number of bytes in at most five characters.

    >>> [compact(value) for value in (9999, 62_100, 131_072, 3_150_000_000, None)]
    ['9999', '62.1k', '131k', '3.15G', '-']
    """
    if value is None:
        return UNSEEN
    if abs(value) < 9999.5:
        return f"{value:.0f}"
    for letter, unit in THOUSANDS:
        figure = value / unit
        for digits, bound in ((2, 9.995), (1, 99.95), (0, 999.5)):
            if abs(figure) < bound:
                return f"{figure:.{digits}f}{letter}"
    return f"{value:.0e}"


def exact(value: int | None) -> str:
    """A count with all its digits.

    >>> exact(131072)
    '131,072'
    """
    return UNSEEN if value is None else f"{value:,}"


def seconds(value: float | None) -> str:
    """A time of up to 9999 seconds in at most four characters.

    >>> [seconds(value) for value in (0.04, 1.25, 12.34, 142.3)]
    ['0.04', '1.25', '12.3', '142']
    """
    if value is None:
        return UNSEEN
    for digits, bound in ((2, 9.995), (1, 99.95)):
        if value < bound:
            return f"{value:.{digits}f}"
    return f"{value:.0f}"


def milliseconds(value: int | None) -> str:
    """Milliseconds with their unit; seconds from 1000 on.

    >>> milliseconds(42), milliseconds(2850)
    ('42 ms', '2.85 s')
    """
    if value is None:
        return UNSEEN
    return f"{value} ms" if value < 1000 else f"{seconds(value / 1000)} s"


def size(value: float | None) -> str:
    """Bytes with their decimal unit.

    >>> size(371_000_000), size(999)
    ('371 MB', '999 B')
    """
    text = compact(value)
    if value is None:
        return text
    return f"{text[:-1]} {text[-1]}B" if text[-1].isalpha() else f"{text} B"
