"""What of this host stands in the way of observing, beside the kernel's features: rules, limits and containers.

Each check reads a file or two below a root and is a row: what was found, what then fails, what to do. Where nothing
fails, the row says only what was found.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fakedirty.linux.descriptor_limit import DESCRIPTORS_OF_A_QEMU, RESERVE
from fakedirty.linux.seccomp import refused_calls
from fakedirty.observe.bpf.program import COMPILING

# what attaching takes
DESCRIPTORS_ONCE = 32 + RESERVE + COMPILING  # of the process, with metrics and files
DESCRIPTORS_OF_A_BUILD = 48  # programs, probes, maps
_QEMUS_OF_A_HOST = 200  # of one build; fewer are named where fewer fit

_ADMIN, _PTRACE, _BPF, _PERFMON = 21, 19, 39, 38
_INITIAL_PID, _INITIAL_USER = "pid:[4026531836]", "user:[4026531837]"  # include/linux/proc_ns.h
_MEMLOCK_UNTIL = (5, 11)  # then BPF memory was charged to cgroups


@dataclass(frozen=True, slots=True)
class HostCheck:
    """`fails` is empty where nothing does; `blocks` where then no level but qmp is possible."""

    name: str
    found: str
    fails: str = ""
    remedy: str = ""
    blocks: bool = False


@dataclass(frozen=True, slots=True)
class _Host:
    """The files of a machine, and what its kernel answered."""

    root: Path
    release: tuple[int, ...]
    refused: Mapping[str, str]

    def text(self, path: str) -> str | None:
        """None where it is not there, or not shown."""
        try:
            return (self.root / path).read_text().strip()
        except OSError:
            return None

    def link(self, path: str) -> str | None:
        """Where a symbolic link points."""
        try:
            return os.readlink(self.root / path)
        except OSError:
            return None

    def status(self, field: str) -> str:
        """A field of this process."""
        found = re.search(rf"^{field}:\s*(.*)$", self.text("proc/self/status") or "", re.MULTILINE)
        return found[1] if found else ""

    def may(self, capability: int) -> bool:
        """Whether a capability is effective; CAP_SYS_ADMIN includes BPF and perf."""
        effective = int(self.status("CapEff") or "0", 16)
        included = capability in (_BPF, _PERFMON) and effective >> _ADMIN & 1
        return bool(effective >> capability & 1 or included)


def look(
    root: Path = Path("/"), release: str | None = None, refused: Callable[[], Mapping[str, str]] | None = None
) -> list[HostCheck]:
    """All rows.

    Args:
        root: where ``proc`` and ``sys`` are; another machine's files in tests.
        release: the kernel's, as ``uname -r`` has it; that which runs if not given.
        refused: the system calls that this process may not make, each with the name of the error.
    """
    numbers = re.findall(r"\d+", release or os.uname().release)[:2]
    host = _Host(root, tuple(map(int, numbers)), (refused or refused_calls)())
    return [row for check in _CHECKS for row in check(host)]


def blocking(rows: Sequence[HostCheck]) -> str:
    """Why no level but qmp is possible, in one sentence; empty where one is."""
    return "; ".join(f"{row.name}: {row.found}: {row.fails}: {row.remedy}" for row in rows if row.blocks)


def _lockdown(host: _Host) -> Iterator[HostCheck]:
    text = host.text("sys/kernel/security/lockdown")
    if text is None:
        yield HostCheck("lockdown", "not in this kernel, or /sys/kernel/security is not mounted")
        return
    found = re.search(r"\[(\w+)\]", text)
    level = found[1] if found else text
    if level != "confidentiality":
        yield HostCheck("lockdown", level)  # integrity refuses bpf_probe_write_user, which no probe of ours calls
        return
    # without the symbol's address bcc takes the kernel for one without bpf_probe_read_user, and calls bpf_probe_read
    blind = host.text("proc/sys/kernel/kptr_restrict") == "2" or host.status("Uid").split()[1:2] != ["0"]
    yield HostCheck(
        "lockdown",
        level,
        "programs that call bpf_probe_read or bpf_probe_read_kernel are refused; "
        + (
            "bcc calls them here, as it cannot read the kernel's symbols: no program is loaded"
            if blind
            else "those of fakedirty call bpf_probe_read_user alone"
        ),
        "run as root with kernel.kptr_restrict at 0 or 1, or boot with lockdown=integrity, which is no obstacle"
        if blind
        else "if a program is refused all the same, boot with lockdown=integrity, which is no obstacle",
        blocks=blind,
    )


def _perf_event_paranoid(host: _Host) -> Iterator[HostCheck]:
    value = host.text("proc/sys/kernel/perf_event_paranoid")
    if value is None:
        yield HostCheck(
            "perf_event_paranoid",
            "not there",
            "the kernel has no perf events, or this container hides them: nothing attaches",
            "use a kernel with CONFIG_PERF_EVENTS, and do not mask /proc/sys/kernel",
            blocks="perf_event_open" in host.refused,
        )
    elif not host.may(_PERFMON):
        yield HostCheck(
            "perf_event_paranoid",
            value,
            "perf_event_open needs CAP_PERFMON (CAP_SYS_ADMIN in some kernels): nothing attaches",
            "run as root, or grant it; lowering the value is not enough for uprobes",
        )
    else:
        yield HostCheck("perf_event_paranoid", value)


def _kptr_restrict(host: _Host) -> Iterator[HostCheck]:
    value = host.text("proc/sys/kernel/kptr_restrict")
    if value == "2":
        yield HostCheck(
            "kptr_restrict",
            value,
            "bcc cannot read the kernel's symbols, and takes bpf_probe_read for bpf_probe_read_user where it has the "
            "choice: nothing fails by that alone, but what is traced of the kernel has no names",
            "sysctl kernel.kptr_restrict=1, where other tools need it",
        )
    elif value is not None:
        yield HostCheck("kptr_restrict", value)


def _unprivileged_bpf(host: _Host) -> Iterator[HostCheck]:
    value = host.text("proc/sys/kernel/unprivileged_bpf_disabled")
    if value is None:
        return
    if value != "0" and not host.may(_BPF):
        yield HostCheck(
            "unprivileged_bpf_disabled",
            value,
            "bpf() is refused without CAP_BPF: no program is loaded",
            "run as root, or grant CAP_BPF; setting it to 0 is not enough for tracing",
        )
    else:
        yield HostCheck("unprivileged_bpf_disabled", value)


def _seccomp(host: _Host) -> Iterator[HostCheck]:
    mode = host.status("Seccomp")
    words = {"0": "none", "1": "strict", "2": "a filter"}.get(mode, "unknown")
    # who lacks the capability is refused by the kernel itself, which says no more
    needs = {"bpf": _BPF, "perf_event_open": _PERFMON}
    refused = {name: error for name, error in host.refused.items() if name not in needs or host.may(needs[name])}
    if not refused or mode not in ("1", "2"):
        yield HostCheck("seccomp", words)
        return
    named = ", ".join(f"{name} ({error})" for name, error in refused.items())
    yield HostCheck(
        "seccomp",
        words,
        f"it refuses {named}: {'; '.join(_SECCOMP_MEANS[name] for name in refused)}",
        "run outside of the container, or with a profile that allows them (docker: --security-opt seccomp=unconfined, "
        "or the capabilities by which its own profile does)",
        blocks=bool(refused.keys() & {*needs, "unshare"}),
    )


_SECCOMP_MEANS = {
    "bpf": "no program is loaded",
    "perf_event_open": "nothing attaches",
    "unshare": "no probe is compiled",
    "process_vm_readv": "the memory of QEMU cannot be read (levels stock and usdt)",
}


def _limits(host: _Host) -> Iterator[HostCheck]:
    limits = dict(re.findall(r"^(Max [a-z ]+?)\s{2,}(\w+\s+\w+)", host.text("proc/self/limits") or "", re.MULTILINE))
    if pair := limits.get("Max open files"):
        soft, hard = pair.split()
        room = _number(hard) - DESCRIPTORS_ONCE - DESCRIPTORS_OF_A_BUILD
        qemus = max(0, room // DESCRIPTORS_OF_A_QEMU)
        found = f"{soft}, and at most {hard}"
        if qemus >= _QEMUS_OF_A_HOST:
            yield HostCheck("file descriptors", found)
        else:
            yield HostCheck(
                "file descriptors",
                found,
                f"there is room for about {qemus} QEMUs of one build ({DESCRIPTORS_OF_A_BUILD} descriptors for each "
                f"build, up to {DESCRIPTORS_OF_A_QEMU} for each QEMU); others are not observed (EMFILE)",
                "raise the hard limit: LimitNOFILE= of the service, ulimit -Hn, or limits.conf",
                blocks=room < 0,
            )
    if (pair := limits.get("Max locked memory")) and host.release < _MEMLOCK_UNTIL:
        soft, hard = pair.split()
        short = _number(soft) < 64 << 20
        yield HostCheck(
            "locked memory",
            f"{soft}, and at most {hard}",
            "this kernel charges BPF maps to it: they are refused (EPERM)" if short else "",
            "raise it: LimitMEMLOCK=infinity of the service, or ulimit -l unlimited" if short else "",
        )


def _number(limit: str) -> int:
    return 1 << 62 if limit == "unlimited" else int(limit)


def _ptrace_scope(host: _Host) -> Iterator[HostCheck]:
    value = host.text("proc/sys/kernel/yama/ptrace_scope")
    if value is None:
        return
    if value == "3":
        yield HostCheck(
            "ptrace_scope",
            value,
            "nobody may read another process's memory: levels stock and usdt do not find what they need in QEMU's",
            "sysctl kernel.yama.ptrace_scope is fixed at 3 until the next start of the host: start it with less",
        )
    elif value in ("1", "2") and not host.may(_PTRACE):
        yield HostCheck(
            "ptrace_scope",
            value,
            "reading QEMU's memory needs CAP_SYS_PTRACE (levels stock and usdt)",
            "run as root, or grant it",
        )
    else:
        yield HostCheck("ptrace_scope", value)


def _namespaces(host: _Host) -> Iterator[HostCheck]:
    user = host.link("proc/self/ns/user")
    mapped = (host.text("proc/self/uid_map") or "0 0 4294967295").split()
    if user not in (None, _INITIAL_USER) and mapped != ["0", "0", "4294967295"]:
        yield HostCheck(
            "user namespace",
            "one of its own",
            "its capabilities are none of the host: bpf and perf_event_open are refused",
            "run outside of it (docker: --userns=host; podman: as root)",
            blocks=True,
        )
    elif user is not None:
        yield HostCheck("user namespace", "that of the host")
    pid = host.link("proc/self/ns/pid")
    if pid not in (None, _INITIAL_PID):
        yield HostCheck(
            "pid namespace",
            "one of its own",
            "QEMUs outside of it are not seen, and of those inside nothing is counted: probes know a process by the id "
            "that it has on the host",
            "run in that of the host (docker: --pid=host; kubernetes: hostPID)",
            blocks=True,
        )
    elif pid is not None:
        yield HostCheck("pid namespace", "that of the host")


def _hidepid(host: _Host) -> Iterator[HostCheck]:
    for line in (host.text("proc/self/mounts") or "").splitlines():
        fields = line.split()
        if len(fields) < 4 or fields[1:3] != ["/proc", "proc"]:
            continue
        found = re.search(r"\bhidepid=(\w+)", fields[3])
        value = found[1] if found else "0"
        if value in ("0", "off"):
            yield HostCheck("/proc", "shows all processes")
        elif host.may(_PTRACE):
            yield HostCheck("/proc", f"hidepid={value}, which CAP_SYS_PTRACE sees through")
        else:
            yield HostCheck(
                "/proc",
                f"hidepid={value}",
                "the QEMUs of other users are not seen",
                "run as root, grant CAP_SYS_PTRACE, or join the group of its option gid=",
            )


def _event_sources(host: _Host) -> Iterator[HostCheck]:
    if not (host.root / "sys/bus/event_source/devices").is_dir():
        yield HostCheck(
            "/sys/bus/event_source",
            "not there",
            "sysfs is not mounted here, or hidden: nothing attaches, whatever the kernel has",
            "mount it (docker: do not mask /sys)",
            blocks=True,
        )


_CHECKS: tuple[Callable[[_Host], Iterator[HostCheck]], ...] = (
    _lockdown,
    _perf_event_paranoid,
    _kptr_restrict,
    _unprivileged_bpf,
    _seccomp,
    _limits,
    _ptrace_scope,
    _namespaces,
    _hidepid,
    _event_sources,
)
