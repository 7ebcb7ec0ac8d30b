"""Metric families: their description as a table has it, and the families and samples that prometheus_client writes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from prometheus_client.core import (
    CounterMetricFamily,
    Exemplar,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    StateSetMetricFamily,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.samples import Sample

from fakedirty.model.vm_names import encodable

FAMILIES = {
    "counter": CounterMetricFamily,
    "gauge": GaugeMetricFamily,
    "histogram": HistogramMetricFamily,
    "info": InfoMetricFamily,
    "stateset": StateSetMetricFamily,
}
_SUFFIXES = {"counter": "_total", "info": "_info"}


@dataclass(frozen=True, slots=True)
class Description:
    """One family. `name` is the name of its samples, but for the suffixes of a histogram's."""

    name: str
    type: str  # a key of FAMILIES
    labels: tuple[str, ...]
    help: str

    def family(self, samples: Iterable[Sample]) -> Metric:
        """The family as prometheus_client writes it, with these samples."""
        name = self.name.removesuffix(_SUFFIXES.get(self.type, ""))
        family: Metric = FAMILIES[self.type](name, self.help)
        family.samples.extend(samples)
        return family


def sample(
    name: str, labels: Sequence[str], values: Sequence[str], value: float, exemplar: Exemplar | None = None
) -> Sample:
    """One sample; label values that UTF-8 cannot hold are escaped.

    Args:
        name: the sample's own name, with the suffix of a histogram's.
        labels: names of its labels.
        values: their values, in the same order.
        value: a number or a truth.
        exemplar: for the bucket of a histogram.
    """
    return Sample(name, dict(zip(labels, map(encodable, values), strict=True)), value, None, exemplar)
