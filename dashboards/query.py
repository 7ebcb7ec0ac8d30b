"""PromQL of the chosen collectors and VM.

A name of a VM may have quotes in it: Grafana writes ``${vm:doublequote}`` as a quoted string with those escaped, which
``"$vm"`` would not do.
"""

from __future__ import annotations

TARGETS = 'job=~"$job",instance=~"$instance"'


def of_hosts(metric: str, **labels: str) -> str:
    """The series of `metric` of all VMs of the chosen collectors."""
    return f"{metric}{{{','.join([TARGETS, *_matchers(labels)])}}}"


def of_vm(metric: str, variable: str = "vm", **labels: str) -> str:
    """The series of `metric` of the VM that a variable names."""
    chosen = f"vm=${{{variable}:doublequote}}"
    return f"{metric}{{{','.join([TARGETS, chosen, *_matchers(labels)])}}}"


def total(series: str, *by: str) -> str:
    """Their sum, by labels if any are named."""
    return _aggregated("sum", series, by)


def greatest(series: str, *by: str) -> str:
    """Of figures that are not to be added up, where more than one collector tells of a VM."""
    return _aggregated("max", series, by)


def withdrawn_or(verdict: str, refuted: str) -> str:
    """A verdict, or 2 where it is refuted: then none is exported."""
    return f"{verdict} or 2 * ({refuted} == 1)"


def where_judged(predicted: str, refuted: str) -> str:
    """What is predicted, and NaN where a verdict predicts none: a column without any value would vanish."""
    return f"{predicted} or NaN * {refuted}"


def per_second(counter: str, *by: str) -> str:
    """How fast `counter`, a selector, grows."""
    return total(f"rate({counter}[$__rate_interval])", *by)


def mode(select: str, *by: str) -> str:
    """0, 1 or 2 for off, observe and skip, of the state set that `select` is without its last brace."""
    observe, skip = (total(f'{select[:-1]},fakedirty_mode="{word}"}}', *by) for word in ("observe", "skip"))
    return f"{observe} + 2 * {skip}"


def hashing_and_saved() -> dict[str, str]:
    """By legend: seconds that hashing took, and that skipping saved, in the rounds that the economy is judged by."""
    return {
        "hashing": greatest(of_vm("fakedirty_skip_hash_seconds")),
        "saved": greatest(of_vm("fakedirty_skip_saved_seconds")),
    }


def _aggregated(how: str, series: str, by: tuple[str, ...]) -> str:
    return f"{how} by ({', '.join(by)}) ({series})" if by else f"{how} ({series})"


def _matchers(labels: dict[str, str]) -> list[str]:
    return [f'{name.rstrip("_")}="{value}"' for name, value in labels.items()]
