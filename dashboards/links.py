"""Links from one dashboard to another, which keep the time range and the chosen variables."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import dashboard as model

TAG = "fakedirty"


def to_the_others() -> build.DashboardLink:
    """Links at the top, to every dashboard with our tag."""
    link = build.DashboardLink("fakedirty").type(model.DashboardLinkType.DASHBOARDS).tags([TAG])
    return link.include_vars(True).keep_time(True)


def to_the_migration() -> list[dict[str, object]]:
    """A link from a row of a table to the rounds of that VM."""
    chosen = "&".join(f"${{{name}:queryparam}}" for name in ("datasource", "job", "instance"))
    url = f"/d/fakedirty-migration?${{__url_time_range}}&{chosen}&var-vm=${{__value.raw:percentencode}}"
    return [{"title": "Round by round", "url": url}]
