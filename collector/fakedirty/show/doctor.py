"""The report of ``fakedirty doctor`` for a person: the host, and each QEMU with its level."""

from __future__ import annotations

from collections import Counter

from rich.text import Text

from fakedirty.observe.doctor import Examination, TargetReport
from fakedirty.observe.host.host_checks import blocking
from fakedirty.observe.host.machine import HostCheck


def examination_lines(examination: Examination) -> list[Text]:
    """The report, by lines."""
    kernel = examination.kernel
    lines = [Text("this machine", "bold")]
    features = ", ".join(
        f"{name} {'yes' if has else 'no'}"
        for name, has in (("uprobes", kernel.uprobes), ("ring buffer", kernel.ring_buffer), ("JIT", kernel.jit))
    )
    lines.append(_item(f"kernel {kernel.release}", features, "; ".join(kernel.problems)))
    lines.append(_item("kernel headers", examination.headers, examination.headers_problem))
    lacking = ", ".join(f"{name} (to {purpose})" for name, purpose in examination.missing_capabilities.items())
    lines.append(_item("capabilities", "all that are needed", lacking and f"missing {lacking}; run as root"))
    lines += [line for row in examination.host for line in _host_check(row)]
    if lacking or examination.headers_problem or blocking(examination.host):
        lines.append(Text("  what still works: level qmp, which needs only a QMP socket"))
    if not examination.targets:
        lines.append(Text("no QEMU runs here, or none that this user may see", "yellow"))
    for target in examination.targets:
        lines += _target(target)
    return lines


def _target(target: TargetReport) -> list[Text]:
    level = Text(f"level {target.level}", "green") if target.level else Text("cannot be observed", "bold red")
    lines = [Text(f"{target.vm}, pid {target.pid}: ", "bold") + level, Text(f"  program: {target.program}")]
    lines.append(Text(f"  version: {target.version or 'unknown, no QMP socket answers'}"))
    if target.build_id:
        lines.append(Text(f"  build id: {target.build_id}"))
    if target.capabilities is not None:
        lines.append(Text(f"  capabilities on: {', '.join(target.capabilities) or 'none'}"))
    if target.modes:
        lines.append(Text(f"  modes: {', '.join(target.modes)}"))
        lines.append(Text(f"  hashes: {_hashes(target.hashes)}"))
    lines += [Text(f"  {name}: {meaning}", "yellow") for name, meaning in target.consequences.items()]
    if target.huge_pages:
        lines.append(Text(f"  huge pages: {', '.join(f'{size >> 20} MiB' for size in target.huge_pages)}"))
    lines += [Text(f"  not at level {level}: {why}", "yellow") for level, why in target.reasons.items()]
    # the compiler may have put a trace event into the code many times
    alike = Counter((point.symbol, point.instruction, point.emulated) for point in target.attach_points)
    for (symbol, instruction, emulated), number in alike.items():
        cost = "emulated: cheap" if emulated else "single-stepped: expensive"
        times = f", {number} times" if number > 1 else ""
        lines.append(Text(f"  attaches at: {symbol}, `{instruction}`{times} ({cost})"))
    lines += [_item(f"QMP {socket.path}", "answers", socket.problem) for socket in target.qmp]
    return lines


def _hashes(names: list[str] | None) -> str:
    if names is None:
        return "QEMU does not say which ones are built in"
    return ", ".join(names) or "one, which cannot be chosen"


def _host_check(row: HostCheck) -> list[Text]:
    """What was found, and below it what fails because of it and what to do."""
    if not row.fails:
        return [_item(row.name, row.found, "")]
    style = "bold red" if row.blocks else "yellow"
    return [Text(f"  {row.name}: ") + Text(row.found, style), Text(f"    {row.fails}; {row.remedy}", style)]


def _item(title: str, good: str, problem: str) -> Text:
    return Text(f"  {title}: ") + (Text(problem, "bold red") if problem else Text(good, "green"))
