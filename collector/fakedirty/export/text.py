"""Metrics as text, in both formats: Prometheus' own 0.0.4, and OpenMetrics 1.0.0 with exemplars.

prometheus_client writes the same from its families, and looks at every character of every name on each scrape. A line
is written once here, and kept for as long as what it says holds: so lines are made of what a family is not yet.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import NamedTuple

from prometheus_client.core import Exemplar

from fakedirty.model.vm_names import encodable

# what a type is called in the format of Prometheus, which has fewer
_PROMETHEUS = {"info": "gauge", "stateset": "gauge", "unknown": "untyped"}
_SUFFIXES = {"counter": "_total", "info": "_info"}


@dataclass(frozen=True, slots=True)
class Described:
    """A family: `name` is that of its samples, but for the suffixes of a histogram's."""

    name: str
    type: str  # in the words of OpenMetrics
    labels: tuple[str, ...]
    help: str

    @property
    def family(self) -> str:
        """What OpenMetrics calls it."""
        return self.name.removesuffix(_SUFFIXES.get(self.type, ""))


@dataclass(frozen=True, slots=True)
class Series:
    """What samples have in common: name, and names of labels; `form` takes the values of these, and the number."""

    name: str
    labels: tuple[str, ...]
    form: str


@cache
def series(name: str, labels: tuple[str, ...]) -> Series:
    """The one of that name."""
    named = ",".join(f'{label}="%s"' for label in labels)
    return Series(name, labels, f"{name}{{{named}}} %s\n" if labels else f"{name} %s\n")


class Said(NamedTuple):
    """One sample; `values` are those of the labels."""

    series: Series
    values: tuple[str, ...]
    value: float
    exemplar: Exemplar | None = None


class Lines(NamedTuple):
    """Samples, written: as Prometheus has them, and as OpenMetrics does."""

    prometheus: str
    openmetrics: str


def head(of: Described, openmetrics: bool) -> str:
    """The two lines that a family begins with."""
    name, kind = (of.family, of.type) if openmetrics else (of.name, _PROMETHEUS.get(of.type, of.type))
    text = of.help.replace("\\", r"\\").replace("\n", r"\n")
    text = text.replace('"', r"\"") if openmetrics else text
    return f"# HELP {name} {text}\n# TYPE {name} {kind}\n"


def lines(said: Iterable[Said]) -> Lines:
    """A line each."""
    written: list[str] = []
    exemplars: list[tuple[int, str]] = []
    for of, values, value, exemplar in said:
        if exemplar is not None:
            exemplars.append((len(written), f" # {_labels(exemplar.labels)} {number(exemplar.value)}\n"))
        written.append(of.form % (*map(_escaped, values), number(value)))
    prometheus = "".join(written)
    for at, text in exemplars:
        written[at] = written[at][:-1] + text
    return Lines(prometheus, "".join(written) if exemplars else prometheus)


def number(value: float) -> str:
    """A value as both formats have it."""
    if isinstance(value, int) or math.isfinite(value):
        return repr(+value)  # + makes a number of a truth
    return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"


@lru_cache(1 << 14)
def _escaped(label: str) -> str:
    return encodable(label).replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _labels(labels: dict[str, str]) -> str:
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"
