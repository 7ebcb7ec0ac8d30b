"""The variables at the top of a dashboard: data source, job, host and VM."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import dashboard as model

DATASOURCE = model.DataSourceRef(type_val="prometheus", uid="${datasource}")

Variable = build.DatasourceVariable | build.QueryVariable | build.CustomVariable


def datasource() -> Variable:
    """A choice of one Prometheus of those that this Grafana knows."""
    return build.DatasourceVariable("datasource").label("Data source").type("prometheus")


def _query(name: str, label: str, query: str) -> build.QueryVariable:
    made = build.QueryVariable(name).label(label).datasource(DATASOURCE).query(query)
    made.refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
    return made.sort(model.VariableSort.ALPHABETICAL_ASC)


def _several(name: str, label: str, query: str) -> Variable:
    everything = model.VariableOption(selected=True, text=["All"], value=["$__all"])
    return _query(name, label, query).multi(True).include_all(True).all_value(".+").current(everything)


def job() -> Variable:
    """Jobs of Prometheus. The provisioned one has a single job."""
    return _several("job", "Job", "label_values(fakedirty_build_info, job)")


def host() -> Variable:
    """Collectors, one on each host, by the address at which they are scraped."""
    return _several("instance", "Host", 'label_values(fakedirty_build_info{job=~"$job"}, instance)')


def vm(name: str = "vm", label: str = "VM") -> Variable:
    """A choice of one VM of those that have migrated from the chosen hosts."""
    return _query(
        name, label, 'label_values(fakedirty_migration_info{job=~"$job",instance=~"$instance"}, vm)'
    ).description("VMs that have migrated within the time range")


def ago(name: str, label: str) -> Variable:
    """How long before the end of the time range a migration is looked at; 1 ms for none: PromQL has no offset of 0."""
    steps = {"not at all": "1ms"} | {step: step for step in ("5m", "15m", "1h", "6h", "1d", "7d")}
    options = [model.VariableOption(selected=value == "1ms", text=text, value=value) for text, value in steps.items()]
    made = build.CustomVariable(name).label(label).options(options).current(options[0])
    return made.values(",".join(f"{text} : {value}" for text, value in steps.items()))
