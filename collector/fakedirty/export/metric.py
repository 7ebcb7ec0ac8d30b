"""One metric of a VM: its name, type, labels, help, and how it is read from migrations."""

from __future__ import annotations

from dataclasses import dataclass

from .families import Description
from .readers import ByRound, EachRound, EachToggle, Read


@dataclass(frozen=True, slots=True)
class Metric(Description):
    """One family. `labels` come after ``vm``, which every metric of a VM has; `read` gives the values.

    The values of a counter are added up over the migrations of a VM; a gauge is of the last migration alone. A
    histogram reads single observations and counts them in `buckets` (upper bounds, without infinity).
    """

    read: Read | EachRound | EachToggle | ByRound
    buckets: tuple[float, ...] = ()


C, G, H = "counter", "gauge", "histogram"
