"""Metrics of the exporter itself and of the observed QEMUs, as a table; those of VMs are in another one."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib import metadata

from prometheus_client.samples import Sample

from fakedirty import __version__

from .families import Description, sample
from .readers import Values
from .vm_labels import Process


@dataclass(frozen=True, slots=True)
class AttachedCounts:
    """A QEMU that is observed; `probes` are those in the kernel, `qemu_version` is empty while it is unknown."""

    vm: str
    pid: int
    level: str
    probes: int
    qemu_version: str = ""
    identity: str = ""  # process id and start time, empty if unknown
    uuid: str = ""  # of the guest, empty without one

    @property
    def process(self) -> Process:
        """The process that tells it from other QEMUs."""
        return Process(self.identity, self.vm, self.uuid)


@dataclass(frozen=True, slots=True)
class Build:
    """Versions of the exporter and of what it runs on; empty if unknown."""

    version: str = __version__
    python: str = ""
    kernel: str = ""
    bcc: str = ""


def build() -> Build:
    """The versions of this process."""
    try:
        bcc = metadata.version("bcc")  # from its package's data: only those who observe import it
    except metadata.PackageNotFoundError:
        bcc = ""
    return Build(__version__, platform.python_version(), platform.release(), bcc)


@dataclass(frozen=True, slots=True)
class Host:
    """The state of the exporter at one moment; `attached` by label and process id."""

    build: Build
    attached: dict[tuple[str, int], AttachedCounts]
    vms_dropped: int
    skip_off: int
    scrape_seconds: float | None


@dataclass(frozen=True, slots=True)
class HostMetric(Description):
    """One family; `read` gives its values by label values."""

    read: Callable[[Host], Values]

    def samples(self, host: Host) -> Iterator[Sample]:
        """Its samples at that moment."""
        for values, value in self.read(host):
            yield sample(self.name, self.labels, values, value)


def _build(host: Host) -> Values:
    yield (host.build.version, host.build.python, host.build.kernel, host.build.bcc), 1


def _observed(host: Host) -> Values:
    yield (), len(host.attached)


def _qemus(host: Host) -> Values:
    for (vm, pid), each in host.attached.items():
        yield (vm, str(pid), each.level, each.qemu_version), 1


def _probes(host: Host) -> Values:
    for (vm, pid), each in host.attached.items():
        yield (vm, str(pid), each.level), each.probes


def _dropped(host: Host) -> Values:
    yield (), host.vms_dropped


def _skip_off(host: Host) -> Values:
    yield (), host.skip_off


def _scrape(host: Host) -> Values:
    if host.scrape_seconds is not None:
        yield (), host.scrape_seconds


HOST = (
    HostMetric(
        "fakedirty_build_info",
        "info",
        ("version", "python", "kernel", "bcc"),
        "Versions of the exporter, and of Python, the kernel and bcc below it.",
        _build,
    ),
    HostMetric("fakedirty_observed_qemus", "gauge", (), "QEMUs that are observed.", _observed),
    HostMetric(
        "fakedirty_qemu_info",
        "info",
        ("vm", "pid", "level", "qemu_version"),
        "Each QEMU that is observed, with its level of observation.",
        _qemus,
    ),
    HostMetric(
        "fakedirty_probes_attached",
        "gauge",
        ("vm", "pid", "level"),
        "Probes in the kernel that are attached to a QEMU; 0 at level qmp.",
        _probes,
    ),
    HostMetric(
        "fakedirty_vms_dropped_total",
        "counter",
        (),
        "VMs whose series were dropped some time after they had gone.",
        _dropped,
    ),
    HostMetric(
        "fakedirty_policy_skip_off_total",
        "counter",
        (),
        "Migrations in which the service switched skip off, as hashing cost more time than it saved.",
        _skip_off,
    ),
    HostMetric(
        "fakedirty_scrape_seconds",
        "gauge",
        (),
        "Time that the scrape before this one took to collect and write, without sending it.",
        _scrape,
    ),
)


def by_label(
    attached: Iterable[AttachedCounts], label: Callable[[AttachedCounts], str]
) -> dict[tuple[str, int], AttachedCounts]:
    """The QEMUs by label and process id: no two have the same, which would be one series twice."""
    return {(label(each), each.pid): each for each in attached}
