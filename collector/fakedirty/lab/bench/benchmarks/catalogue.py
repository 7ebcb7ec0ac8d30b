"""The table of all benchmarks."""

from __future__ import annotations

from collections.abc import Callable

from .benchmark import Benchmark, BenchmarkOptions
from .compression import compression_benchmark
from .convergence import convergence_benchmark
from .cost import cost_benchmark
from .downtime import downtime_benchmark
from .forecasts import forecast_benchmark
from .hash_speed import hash_benchmark
from .hybrid import hybrid_benchmark
from .overhead import overhead_benchmark
from .scaling import scaling_benchmark
from .scrape_speed import scrape_benchmark
from .step_speed import step_benchmark
from .what_if import what_if_benchmark

BENCHMARKS: dict[str, Callable[[BenchmarkOptions], Benchmark]] = {
    "convergence": convergence_benchmark,
    "compression": compression_benchmark,
    "hybrid": hybrid_benchmark,
    "downtime": downtime_benchmark,
    "verdict": forecast_benchmark,
    "what-if": what_if_benchmark,
    "cost": cost_benchmark,
    "overhead": overhead_benchmark,
    "hash": hash_benchmark,
    "step": step_benchmark,
    "scaling": scaling_benchmark,
    "scrape": scrape_benchmark,
}

#: How often a benchmark is repeated by default.
REPETITIONS = {
    "convergence": 3,
    "compression": 3,
    "hybrid": 5,
    "downtime": 10,
    "cost": 60,
    "overhead": 4,
    "hash": 10,
    "step": 10,
    "scaling": 20,
    "scrape": 10,
    "verdict": 1,
    "what-if": 1,
}
