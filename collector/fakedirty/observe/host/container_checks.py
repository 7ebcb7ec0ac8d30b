"""What a container hides from this process: namespaces, other users' processes, and parts of sysfs."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .machine import CAP_SYS_PTRACE, HostCheck, Machine

_INITIAL_PID, _INITIAL_USER = "pid:[4026531836]", "user:[4026531837]"  # include/linux/proc_ns.h


def namespaces(machine: Machine) -> Iterator[HostCheck]:
    """Whether this process is in the user namespace and the pid namespace of the host."""
    user = machine.link("proc/self/ns/user")
    mapped = (machine.text("proc/self/uid_map") or "0 0 4294967295").split()
    if user not in (None, _INITIAL_USER) and mapped != ["0", "0", "4294967295"]:
        yield HostCheck(
            "user namespace",
            "one of its own",
            "its capabilities are none of the host: bpf and perf_event_open are refused",
            "run outside it (docker: --userns=host; podman: as root)",
            blocks=True,
        )
    elif user is not None:
        yield HostCheck("user namespace", "that of the host")
    pid = machine.link("proc/self/ns/pid")
    if pid not in (None, _INITIAL_PID):
        yield HostCheck(
            "pid namespace",
            "one of its own",
            "QEMUs outside it are not seen, and nothing is counted of those inside: probes know a process by its id on "
            "the host",
            "run in that of the host (docker: --pid=host; kubernetes: hostPID)",
            blocks=True,
        )
    elif pid is not None:
        yield HostCheck("pid namespace", "that of the host")


def hidepid(machine: Machine) -> Iterator[HostCheck]:
    """Whether ``/proc`` hides the processes of other users."""
    for line in (machine.text("proc/self/mounts") or "").splitlines():
        fields = line.split()
        if len(fields) < 4 or fields[1:3] != ["/proc", "proc"]:
            continue
        found = re.search(r"\bhidepid=(\w+)", fields[3])
        value = found[1] if found else "0"
        if value in ("0", "off"):
            yield HostCheck("/proc", "shows all processes")
        elif machine.may(CAP_SYS_PTRACE):
            yield HostCheck("/proc", f"hidepid={value}, but CAP_SYS_PTRACE shows all processes")
        else:
            yield HostCheck(
                "/proc",
                f"hidepid={value}",
                "the QEMUs of other users are not seen",
                "run as root, grant CAP_SYS_PTRACE, or join the group of its option gid=",
            )


def event_sources(machine: Machine) -> Iterator[HostCheck]:
    """Whether sysfs shows the kernel's event sources, by which probes attach."""
    if not (machine.root / "sys/bus/event_source/devices").is_dir():
        yield HostCheck(
            "/sys/bus/event_source",
            "not there",
            "sysfs is not mounted here, or is hidden: nothing attaches, even if the kernel has uprobes",
            "mount it (docker: do not mask /sys)",
            blocks=True,
        )
