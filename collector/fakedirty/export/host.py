"""Metrics of the exporter itself and of the QEMUs that are observed, as a table; those of VMs are another."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib import metadata

from fakedirty import __version__

from .readers import Samples
from .text import Described, Said, series
from .vm_labels import Process


@dataclass(frozen=True, slots=True)
class AttachedCounts:
    """A QEMU that is observed; `probes` are those in the kernel, `qemu_version` is empty if it was not told."""

    vm: str
    pid: int
    level: str
    probes: int
    qemu_version: str = ""
    identity: str = ""  # process id and start time; empty is not known
    uuid: str = ""  # of the guest, empty without one

    @property
    def process(self) -> Process:
        """What tells it from others."""
        return Process(self.identity, self.vm, self.uuid)


@dataclass(frozen=True, slots=True)
class Build:
    """What the exporter is, and runs on; empty is unknown."""

    version: str = __version__
    python: str = ""
    kernel: str = ""
    bcc: str = ""


def build() -> Build:
    """That of this process."""
    try:
        bcc = metadata.version("bcc")  # as its package says it: importing it is for those who observe
    except metadata.PackageNotFoundError:
        bcc = ""
    return Build(__version__, platform.python_version(), platform.release(), bcc)


@dataclass(frozen=True, slots=True)
class Host:
    """All of it at one moment; `attached` by label and process id."""

    build: Build
    attached: dict[tuple[str, int], AttachedCounts]
    vms_dropped: int
    skip_off: int
    scrape_seconds: float | None


@dataclass(frozen=True, slots=True)
class HostMetric(Described):
    """One family."""

    read: Callable[[Host], Samples]

    def say(self, host: Host) -> Iterator[Said]:
        """Its samples."""
        for labels, value in self.read(host):
            yield Said(series(self.name, self.labels), labels, value)


def _build(host: Host) -> Samples:
    yield (host.build.version, host.build.python, host.build.kernel, host.build.bcc), 1


def _observed(host: Host) -> Samples:
    yield (), len(host.attached)


def _qemus(host: Host) -> Samples:
    for (vm, pid), each in host.attached.items():
        yield (vm, str(pid), each.level, each.qemu_version), 1


def _probes(host: Host) -> Samples:
    for (vm, pid), each in host.attached.items():
        yield (vm, str(pid), each.level), each.probes


def _dropped(host: Host) -> Samples:
    yield (), host.vms_dropped


def _skip_off(host: Host) -> Samples:
    yield (), host.skip_off


def _scrape(host: Host) -> Samples:
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
    """No two of one label and process id, which would be one series twice."""
    return {(label(each), each.pid): each for each in attached}
