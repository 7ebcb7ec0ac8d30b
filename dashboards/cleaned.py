"""Remove from the JSON what the SDK writes and Grafana's own types do not know: nulls, and members of older versions.

One null has a meaning and stays: the lowest threshold has no value.
"""

from __future__ import annotations

from typing import Any

#: members that variables of this version no longer have
OF_VARIABLES = {"auto", "auto_count", "auto_min", "id"}
THRESHOLD = {"color", "value"}


def cleaned(dashboard: dict[str, Any]) -> dict[str, Any]:
    """The dashboard without these."""
    made: dict[str, Any] = _without_nulls(dashboard)
    made.pop("style", None)
    for variable in made["templating"]["list"]:
        for name in OF_VARIABLES:
            variable.pop(name, None)
    for panel in made["panels"]:
        if panel["type"] == "heatmap":
            panel["options"]["tooltip"] = {"mode": "single"}
    return made


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {name: _without_nulls(each) for name, each in value.items() if each is not None}
        return {"value": None, **kept} if set(value) == THRESHOLD else kept
    return [_without_nulls(each) for each in value] if isinstance(value, list) else value
