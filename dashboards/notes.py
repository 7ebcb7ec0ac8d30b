"""Annotations: migrations and toggles from Prometheus, and those that the service told Grafana.

Grafana's Prometheus data source joins neighbouring looks above zero into a region. What happened between two looks is
seen at the second one.
"""

from __future__ import annotations

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as model

from .query import of_hosts, of_vm
from .variables import DATASOURCE

#: Grafana looks at annotations a hundred times in the range that is shown, and joins looks that are no further apart
#: than this: it has to be the hundredth of the range with which a dashboard is opened, in round figures
STEP = "10s"


class FromPrometheus(model.AnnotationQuery):
    """With what its data source reads of an annotation, and the SDK's model leaves out."""

    extra: dict[str, object]

    def to_json(self) -> dict[str, object]:
        """As Grafana takes it."""
        return {**super().to_json(), **self.extra}


class Note(Builder[model.AnnotationQuery]):
    """A finished annotation as the builder that the SDK asks for."""

    def __init__(self, made: model.AnnotationQuery) -> None:
        self._made = made

    def build(self) -> model.AnnotationQuery:
        """It."""
        return self._made


def _from_prometheus(name: str, colour: str, query: str, title: str, step: str) -> Note:
    made = FromPrometheus(name=name, datasource=DATASOURCE, icon_color=colour, expr=query, hide=None)
    made.extra = {"titleFormat": title, "tagKeys": "instance", "step": step, "useValueForTime": False}
    return Note(made)


def _migrations(active: str, step: str) -> Note:
    query = f"max_over_time({active}[$__interval]) == 1"
    return _from_prometheus("Migrations", "blue", query, "{{vm}} migrates", step)


def _toggles(mode: str, step: str) -> Note:
    """A mode that is in force and was not at the look before."""
    query = f"{mode} == 1 unless {mode} offset $__interval == 1"
    return _from_prometheus("Toggles", "purple", query, "{{vm}}: mode {{fakedirty_mode}}", step)


def _told(*tags: str) -> Note:
    """Those that the service posts where ``[grafana]`` is configured."""
    target = model.AnnotationTarget(limit=100, match_any=False, tags=["fakedirty", *tags], type_val="tags")
    source = model.DataSourceRef(type_val="grafana", uid="-- Grafana --")
    return Note(
        model.AnnotationQuery(
            name="Told by the service", datasource=source, enable=False, hide=None, icon_color="green", target=target
        )
    )


def of_all(step: str = STEP) -> list[Note]:
    """Of every VM of the chosen hosts."""
    active, mode = of_hosts("fakedirty_migration_active"), of_hosts("fakedirty_mode")
    return [_migrations(active, step), _toggles(mode, step), _told()]


def of_one() -> list[Note]:
    """Of the chosen VM."""
    active, mode = of_vm("fakedirty_migration_active"), of_vm("fakedirty_mode")
    return [_migrations(active, STEP), _toggles(mode, STEP), _told("vm:$vm")]
