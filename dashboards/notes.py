"""Annotations: migrations and toggles from Prometheus, and those that the service posts to Grafana.

Grafana's Prometheus data source evaluates an annotation's query at regular steps, and joins neighbouring steps with a
value above zero into a region. What happened between two steps is seen at the second one.
"""

from __future__ import annotations

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as model

from .query import of_hosts, of_vm
from .variables import DATASOURCE

#: Grafana evaluates annotations a hundred times in the range that is shown, and joins steps that are no further apart
#: than this. So it must be about a hundredth of the range with which a dashboard opens.
STEP = "10s"


class FromPrometheus(model.AnnotationQuery):
    """An annotation with the fields that its data source reads and the SDK's model lacks."""

    extra: dict[str, object]

    def to_json(self) -> dict[str, object]:
        """The JSON of the annotation."""
        return {**super().to_json(), **self.extra}


class Note(Builder[model.AnnotationQuery]):
    """Wraps a finished annotation in the builder interface that the SDK needs."""

    def __init__(self, made: model.AnnotationQuery) -> None:
        self._made = made

    def build(self) -> model.AnnotationQuery:
        """Return the annotation."""
        return self._made


def _from_prometheus(name: str, colour: str, query: str, title: str, step: str) -> Note:
    made = FromPrometheus(name=name, datasource=DATASOURCE, icon_color=colour, expr=query, hide=None)
    made.extra = {"titleFormat": title, "tagKeys": "instance", "step": step, "useValueForTime": False}
    return Note(made)


def _migrations(active: str, step: str) -> Note:
    query = f"max_over_time({active}[$__interval]) == 1"
    return _from_prometheus("Migrations", "blue", query, "{{vm}} migrates", step)


def _toggles(mode: str, step: str) -> Note:
    """Marks a mode that is in force and was not at the step before."""
    query = f"{mode} == 1 unless {mode} offset $__interval == 1"
    return _from_prometheus("Toggles", "purple", query, "{{vm}}: mode {{fakedirty_mode}}", step)


def _posted(*tags: str) -> Note:
    """The annotations that the service posts if ``[grafana]`` is configured."""
    target = model.AnnotationTarget(limit=100, match_any=False, tags=["fakedirty", *tags], type_val="tags")
    source = model.DataSourceRef(type_val="grafana", uid="-- Grafana --")
    return Note(
        model.AnnotationQuery(
            name="Posted by the service", datasource=source, enable=False, hide=None, icon_color="green", target=target
        )
    )


def of_all(step: str = STEP) -> list[Note]:
    """The annotations of every VM of the chosen hosts."""
    active, mode = of_hosts("fakedirty_migration_active"), of_hosts("fakedirty_mode")
    return [_migrations(active, step), _toggles(mode, step), _posted()]


def of_one() -> list[Note]:
    """The annotations of the chosen VM."""
    active, mode = of_vm("fakedirty_migration_active"), of_vm("fakedirty_mode")
    return [_migrations(active, STEP), _toggles(mode, STEP), _posted("vm:$vm")]
