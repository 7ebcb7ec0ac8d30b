"""Which cases run in every test, and which of their like in the long ones alone (``pytest -m long``)."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import pytest


def short(cases: Iterable[Any], kept: Collection[Any]) -> list[Any]:
    """The cases, of which those that are not `kept` are long ones. A case of several values is a tuple."""
    return [case if case in kept else pytest.param(*_values(case), marks=pytest.mark.long) for case in cases]


def _values(case: Any) -> tuple[Any, ...]:
    return case if isinstance(case, tuple) else (case,)
