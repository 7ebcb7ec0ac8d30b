"""Which QEMUs can be observed on this host, at which level, and why not at a higher one: for ``fakedirty doctor``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fakedirty.errors import FakedirtyError, QmpError
from fakedirty.linux.process_memory import ProcessMemory
from fakedirty.model.enums import Level
from fakedirty.observe.bpf.attach_point import AttachPoint, PlacedProbe
from fakedirty.observe.host.elf import Binary
from fakedirty.observe.host.kernel import Kernel
from fakedirty.observe.host.machine import HostCheck
from fakedirty.observe.host.target import PROC, Target, find_all
from fakedirty.qmp.address import Address
from fakedirty.qmp.supported import FakeDirtySupport

from .bpf import packet_writes, patched_probes, stock_probes
from .host import capabilities, headers, host_checks, kernel, levels, migration_capabilities


@dataclass(frozen=True, slots=True)
class QmpSocket:
    """A monitor of a QEMU: a QMP socket, or libvirt. `problem` is why it does not answer; empty: it does."""

    path: str
    problem: str
    version: str = ""
    capabilities: list[str] = field(default_factory=list)
    abilities: FakeDirtySupport = field(default_factory=FakeDirtySupport)


@dataclass(frozen=True, slots=True)
class TargetReport:
    """One QEMU.

    Attributes:
        level: the highest level that is possible; None: none is.
        reasons: why each higher level is not possible.
        version: QEMU's version; None: no QMP socket answers.
        capabilities: the migration capabilities that are on; None: no QMP socket answers.
        consequences: what capabilities mean for the counts of that level.
        huge_pages: sizes in bytes.
        modes: modes to which it can be set; None: no QMP socket answers.
        hashes: hashes to which it can be set; None: no QMP socket answers, or QEMU does not report them.
    """

    pid: int
    vm: str
    program: str
    build_id: str | None
    level: str | None
    reasons: dict[str, str]
    version: str | None
    capabilities: list[str] | None
    consequences: dict[str, str]
    huge_pages: list[int]
    attach_points: list[AttachPoint] = field(default_factory=list)
    qmp: list[QmpSocket] = field(default_factory=list)
    modes: list[str] | None = None
    hashes: list[str] | None = None


@dataclass(frozen=True, slots=True)
class Examination:
    """This host and its QEMUs. Problems are empty if there are none."""

    kernel: Kernel
    headers: str
    headers_problem: str
    missing_capabilities: dict[str, str]
    targets: list[TargetReport]
    host: list[HostCheck] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)

    @property
    def observable(self) -> bool:
        """Whether any of the QEMUs can be observed; where there is none, whether one could be with eBPF."""
        if self.targets:
            return any(target.level is not None for target in self.targets)
        return not (
            self.headers_problem
            or self.missing_capabilities
            or host_checks.blocking(self.host)
            or not self.kernel.uprobes
            or not self.kernel.ring_buffer
        )


def examine(targets: list[Target] | None = None, *, qmp_path: Path | None = None, proc: Path = PROC) -> Examination:
    """Examine the given QEMUs, or all that run. What is missing is in the result, and raises no error."""
    where, problem = "", ""
    try:
        where = headers.find().where
    except FakedirtyError as error:
        problem = str(error)
    found = find_all(proc) if targets is None else targets
    reports = [(target, examine_target(target, qmp_path=qmp_path)) for target in found]
    if targets is None:  # some of those that were found may have ended while others were examined
        reports = [(target, report) for target, report in reports if (proc / str(target.pid)).exists()]
    return Examination(
        kernel.read(),
        where,
        problem,
        capabilities.missing(),
        [report for _, report in reports],
        host_checks.check(),
    )


def examine_target(target: Target, *, qmp_path: Path | None = None) -> TargetReport:
    """Examine one QEMU, by the monitor at `qmp_path`, or by those of its command line."""
    monitors: Sequence[Address] = [target.at(qmp_path)] if qmp_path else target.monitors
    sockets = [query_socket(address) for address in monitors]
    choice = levels.choose(target, any(not socket.problem for socket in sockets))
    build_id, points = _attach_points(target, choice.level)
    answering = next((socket for socket in sockets if not socket.problem), None)
    return TargetReport(
        pid=target.pid,
        vm=target.vm,
        program=target.program,
        build_id=build_id,
        level=None if choice.level is None else str(choice.level),
        reasons={str(level): why for level, why in choice.reasons.items()},
        version=answering.version if answering else None,
        capabilities=answering.capabilities if answering else None,
        consequences=migration_capabilities.consequences(
            answering.capabilities if answering else (),
            choice.level,
            counts_channels=any(point.symbol == packet_writes.WRITES for point in points),
            has_series=answering is not None and bool(answering.abilities.modes),
        ),
        huge_pages=migration_capabilities.huge_pages(target.proc, target.pid),
        attach_points=points,
        qmp=sockets,
        modes=list(answering.abilities.modes) if answering else None,
        hashes=None if answering is None or answering.abilities.hashes is None else list(answering.abilities.hashes),
    )


def query_socket(address: Address) -> QmpSocket:
    """What the QEMU at a monitor reports of itself."""
    try:
        found = migration_capabilities.read(address)
    except QmpError as error:
        return QmpSocket(str(address), str(error))
    return QmpSocket(str(address), "", found.version, found.capabilities, found.abilities)


def _attach_points(target: Target, level: Level | None) -> tuple[str | None, list[AttachPoint]]:
    """The build id, and the instructions to which the level would attach."""
    placed: list[PlacedProbe] = []
    try:
        with Binary(target.exe) as binary:
            if level is Level.PATCHED:
                placed = patched_probes.placed(binary)
            elif level in (Level.STOCK, Level.USDT):
                placed = stock_probes.placed(binary, ProcessMemory(target.proc, target.pid, binary), level)
            return binary.build_id, [entry.point for entry in placed]
    except (FakedirtyError, OSError):  # it has just ended, or is another user's, which is in the reasons
        return None, []
