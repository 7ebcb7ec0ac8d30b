"""PromQL of the chosen collectors and VM.

The name of a VM may have quotes in it. Grafana writes ``${vm:doublequote}`` as a quoted string with these escaped.
``"$vm"`` would not escape them.
"""

from __future__ import annotations

TARGETS = 'job=~"$job",instance=~"$instance"'


def of_hosts(metric: str, **labels: str) -> str:
    """Selects the series of `metric` of all VMs of the chosen collectors.

    A label whose name is a keyword of Python has an underscore at its end (`class_`).
    """
    return f"{metric}{{{','.join([TARGETS, *_matchers(labels)])}}}"


def of_vm(metric: str, variable: str = "vm", **labels: str) -> str:
    """Selects the series of `metric` of the VM that the dashboard's variable `variable` names."""
    chosen = f"vm=${{{variable}:doublequote}}"
    return f"{metric}{{{','.join([TARGETS, chosen, *_matchers(labels)])}}}"


def total(series: str, *by: str) -> str:
    """The sum of `series`, for each value of the labels `by`."""
    return _aggregated("sum", series, by)


def greatest(series: str, *by: str) -> str:
    """The maximum of `series`, for each value of the labels `by`.

    For numbers that must not be added up, if more than one collector exports a VM.
    """
    return _aggregated("max", series, by)


def withdrawn_or(verdict: str, refuted: str) -> str:
    """The series of `verdict`, and 2 where `refuted` is 1: a refuted verdict is not exported."""
    return f"{verdict} or 2 * ({refuted} == 1)"


def where_judged(predicted: str, refuted: str) -> str:
    """The series of `predicted`, and NaN where the verdict predicts none: a column without any value would vanish."""
    return f"{predicted} or NaN * {refuted}"


def per_second(counter: str, *by: str) -> str:
    """How fast `counter` (a selector) grows per second, for each value of the labels `by`."""
    return total(f"rate({counter}[$__rate_interval])", *by)


def mode(select: str, *by: str) -> str:
    """0, 1 or 2 for off, observe and skip.

    Args:
        select: a selector of the state set `fakedirty_mode`; a matcher is added before its last brace.
        by: labels for whose values it is computed.
    """
    observe, skip = (total(f'{select[:-1]},fakedirty_mode="{word}"}}', *by) for word in ("observe", "skip"))
    return f"{observe} + 2 * {skip}"


def hashing_and_saved() -> dict[str, str]:
    """By legend: the seconds that hashing took, and those that skip saved, in the rounds of policy.skip_off."""
    return {
        "hashing": greatest(of_vm("fakedirty_skip_hash_seconds")),
        "saved": greatest(of_vm("fakedirty_skip_saved_seconds")),
    }


def _aggregated(how: str, series: str, by: tuple[str, ...]) -> str:
    return f"{how} by ({', '.join(by)}) ({series})" if by else f"{how} ({series})"


def _matchers(labels: dict[str, str]) -> list[str]:
    return [f'{name.rstrip("_")}="{value}"' for name, value in labels.items()]
