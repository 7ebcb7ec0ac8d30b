"""Security policies of a machine that forbid observing: lockdown, seccomp, and settings of the kernel."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .machine import CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE, HostCheck, Machine

# what fails without a system call
_SECCOMP_MEANS = {
    "bpf": "no program is loaded",
    "perf_event_open": "nothing attaches",
    "unshare": "no probe is compiled",
    "process_vm_readv": "the memory of QEMU cannot be read (levels stock and usdt)",
}


def lockdown(machine: Machine) -> Iterator[HostCheck]:
    """The kernel's lockdown: confidentiality refuses programs that read memory of the kernel."""
    text = machine.text("sys/kernel/security/lockdown")
    if text is None:
        yield HostCheck("lockdown", "not in this kernel, or /sys/kernel/security is not mounted")
        return
    found = re.search(r"\[(\w+)\]", text)
    level = found[1] if found else text
    if level != "confidentiality":
        yield HostCheck("lockdown", level)  # integrity refuses bpf_probe_write_user, which no probe calls
        return
    # If bcc cannot read the address of bpf_probe_read_user, it takes the kernel for one without this function, and
    # calls bpf_probe_read instead.
    blind = machine.text("proc/sys/kernel/kptr_restrict") == "2" or machine.status("Uid").split()[1:2] != ["0"]
    yield HostCheck(
        "lockdown",
        level,
        "programs that call bpf_probe_read or bpf_probe_read_kernel are refused; "
        + (
            "bcc cannot read the kernel's symbols here, and therefore calls them: no program is loaded"
            if blind
            else "those of fakedirty call bpf_probe_read_user alone"
        ),
        "run as root with kernel.kptr_restrict at 0 or 1, or boot with lockdown=integrity, which is no obstacle"
        if blind
        else "if a program is refused all the same, boot with lockdown=integrity, which is no obstacle",
        blocks=blind,
    )


def perf_event_paranoid(machine: Machine) -> Iterator[HostCheck]:
    """Who may open perf events, by which probes attach."""
    value = machine.text("proc/sys/kernel/perf_event_paranoid")
    if value is None:
        yield HostCheck(
            "perf_event_paranoid",
            "not there",
            "the kernel has no perf events, or this container hides them: nothing attaches",
            "use a kernel with CONFIG_PERF_EVENTS, and do not mask /proc/sys/kernel",
            blocks="perf_event_open" in machine.refused,
        )
    elif not machine.may(CAP_PERFMON):
        yield HostCheck(
            "perf_event_paranoid",
            value,
            "perf_event_open needs CAP_PERFMON (CAP_SYS_ADMIN in some kernels): nothing attaches",
            "run as root, or grant it; lowering the value is not enough for uprobes",
        )
    else:
        yield HostCheck("perf_event_paranoid", value)


def kptr_restrict(machine: Machine) -> Iterator[HostCheck]:
    """Who may read the kernel's symbols."""
    value = machine.text("proc/sys/kernel/kptr_restrict")
    if value == "2":
        yield HostCheck(
            "kptr_restrict",
            value,
            "bcc cannot read the kernel's symbols, so it may call bpf_probe_read instead of bpf_probe_read_user: "
            "nothing fails by that alone, but traces of the kernel have no names",
            "sysctl kernel.kptr_restrict=1, if other tools need it",
        )
    elif value is not None:
        yield HostCheck("kptr_restrict", value)


def unprivileged_bpf(machine: Machine) -> Iterator[HostCheck]:
    """Whether bpf() needs a capability."""
    value = machine.text("proc/sys/kernel/unprivileged_bpf_disabled")
    if value is None:
        return
    if value != "0" and not machine.may(CAP_BPF):
        yield HostCheck(
            "unprivileged_bpf_disabled",
            value,
            "bpf() is refused without CAP_BPF: no program is loaded",
            "run as root, or grant CAP_BPF; setting it to 0 is not enough for tracing",
        )
    else:
        yield HostCheck("unprivileged_bpf_disabled", value)


def seccomp(machine: Machine) -> Iterator[HostCheck]:
    """System calls that a filter refuses to this process."""
    mode = machine.status("Seccomp")
    words = {"0": "none", "1": "strict", "2": "a filter"}.get(mode, "unknown")
    # without its capability a call is refused by the kernel itself, so nothing is known of a filter
    needs = {"bpf": CAP_BPF, "perf_event_open": CAP_PERFMON}
    refused = {name: error for name, error in machine.refused.items() if name not in needs or machine.may(needs[name])}
    if not refused or mode not in ("1", "2"):
        yield HostCheck("seccomp", words)
        return
    named = ", ".join(f"{name} ({error})" for name, error in refused.items())
    yield HostCheck(
        "seccomp",
        words,
        f"it refuses {named}: {'; '.join(_SECCOMP_MEANS[name] for name in refused)}",
        "run outside the container, or with a profile that allows them (docker: --security-opt seccomp=unconfined, or "
        "grant the capabilities with which docker's own profile allows them)",
        blocks=bool(refused.keys() & {*needs, "unshare"}),
    )


def ptrace_scope(machine: Machine) -> Iterator[HostCheck]:
    """Who may read the memory of other processes."""
    value = machine.text("proc/sys/kernel/yama/ptrace_scope")
    if value is None:
        return
    if value == "3":
        yield HostCheck(
            "ptrace_scope",
            value,
            "nobody may read another process's memory, so levels stock and usdt do not find what they need in QEMU's",
            "sysctl kernel.yama.ptrace_scope stays at 3 until the host is booted again: boot it with a lower value",
        )
    elif value in ("1", "2") and not machine.may(CAP_SYS_PTRACE):
        yield HostCheck(
            "ptrace_scope",
            value,
            "reading QEMU's memory needs CAP_SYS_PTRACE (levels stock and usdt)",
            "run as root, or grant it",
        )
    else:
        yield HostCheck("ptrace_scope", value)
