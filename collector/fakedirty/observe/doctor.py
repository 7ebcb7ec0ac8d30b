"""What can be observed on this host, and why not more: the data behind ``fakedirty doctor``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fakedirty.errors import FakedirtyError, QmpError
from fakedirty.model.enums import Level
from fakedirty.observe.bpf.attach_point import AttachPoint, PlacedProbe
from fakedirty.observe.bpf.process_memory import ProcessMemory
from fakedirty.observe.host import capabilities
from fakedirty.observe.host.elf import Binary
from fakedirty.observe.host.host_checks import HostCheck
from fakedirty.observe.host.kernel import Kernel
from fakedirty.observe.host.target import PROC, Target, find_all
from fakedirty.qmp.address import Address
from fakedirty.qmp.supported import FakeDirtySupport

from .bpf import packet_writes, patched_probes, stock_probes
from .host import headers, host_checks, kernel, levels, migration_capabilities


@dataclass(frozen=True, slots=True)
class QmpSocket:
    """A monitor of a QEMU: a QMP socket, or libvirt. `problem` is empty if it answers, and only then is more known."""

    path: str
    problem: str
    version: str = ""
    capabilities: list[str] = field(default_factory=list)
    abilities: FakeDirtySupport = field(default_factory=FakeDirtySupport)


@dataclass(frozen=True, slots=True)
class TargetReport:
    """One QEMU: `level` is the highest possible (None: none), `reasons` say why not each higher one.

    `version` and `capabilities` (those that are on) are None where no QMP socket answers; `consequences` are what
    capabilities mean for what that level counts. `huge_pages` are sizes in bytes. `modes` and `hashes` are those that
    it can be set to, None where that is not known: no QMP socket answers, or, of hashes, QEMU does not say.
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
    """This host (empty problems are good news), and its QEMUs."""

    kernel: Kernel
    headers: str
    headers_problem: str
    missing_capabilities: dict[str, str]
    targets: list[TargetReport]
    host: list[HostCheck] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


def examine(targets: list[Target] | None = None, *, qmp_path: Path | None = None, proc: Path = PROC) -> Examination:
    """Look at the given QEMUs, or at all that run. Never raises for what is missing: it says so."""
    where, problem = "", ""
    try:
        where = headers.find().where
    except FakedirtyError as error:
        problem = str(error)
    found = find_all(proc) if targets is None else targets
    reports = [(target, examine_target(target, qmp_path=qmp_path)) for target in found]
    if targets is None:  # of those that were found, some may have ended while others were looked at
        reports = [(target, report) for target, report in reports if (proc / str(target.pid)).exists()]
    return Examination(
        kernel.look(),
        where,
        problem,
        capabilities.missing(),
        [report for _, report in reports],
        host_checks.look(),
    )


def examine_target(target: Target, *, qmp_path: Path | None = None) -> TargetReport:
    """One QEMU."""
    monitors: Sequence[Address] = [target.at(qmp_path)] if qmp_path else target.monitors
    sockets = [ask(address) for address in monitors]
    choice = levels.choose(target, any(not socket.problem for socket in sockets))
    build_id, points = _instruments(target, choice.level)
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


def ask(address: Address) -> QmpSocket:
    """What the QEMU there says of itself."""
    try:
        found = migration_capabilities.ask(address)
    except QmpError as error:
        return QmpSocket(str(address), str(error))
    return QmpSocket(str(address), "", found.version, found.capabilities, found.abilities)


def _instruments(target: Target, level: Level | None) -> tuple[str | None, list[AttachPoint]]:
    """The build id, and where the level would attach."""
    placed: list[PlacedProbe] = []
    try:
        with Binary(target.exe) as binary:
            if level is Level.PATCHED:
                placed = patched_probes.placed(binary)
            elif level in (Level.STOCK, Level.USDT):
                placed = stock_probes.placed(binary, ProcessMemory(target.proc, target.pid, binary), level)
            return binary.build_id, [entry.point for entry in placed]
    except (FakedirtyError, OSError):  # it has just ended, or is another user's: the reasons say so
        return None, []
