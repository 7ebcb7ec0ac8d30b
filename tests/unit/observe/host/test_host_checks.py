"""What stands in the way on other machines, from their files: each is named, with what fails and what to do."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from fakedirty.linux.seccomp import refused_calls
from fakedirty.observe.doctor import Examination
from fakedirty.observe.host import host_checks, kernel, levels
from fakedirty.observe.host.machine import HostCheck
from fakedirty.package_files import carried
from fakedirty.show.doctor import examination_lines

MACHINES = Path(__file__).parent / "machines"
REFUSED: dict[str, Mapping[str, str]] = {
    "container-default": dict.fromkeys(("bpf", "perf_event_open", "unshare", "process_vm_readv"), "EPERM"),
    "container-admin-filtered": {"bpf": "EPERM", "perf_event_open": "ENOSYS"},
    "masked-sys": {"perf_event_open": "ENOSYS"},
}
RELEASES = {"linux-5.10": "5.10.0-30-amd64"}

#: by machine, the rows of which something fails, with words of it; in capitals what leaves level qmp alone
EXPECTED: dict[str, dict[str, str]] = {
    "debian-12": {},
    "fedora-secure-boot": {},
    "fedora-confidentiality": {"LOCKDOWN": "bpf_probe_read", "kptr_restrict": "kernel's symbols"},
    "fedora-confidentiality-symbols": {"lockdown": "bpf_probe_read_user alone"},
    "container-default": {
        "perf_event_paranoid": "CAP_PERFMON",
        "unprivileged_bpf_disabled": "CAP_BPF",
        "SECCOMP": "it refuses unshare (EPERM), process_vm_readv (EPERM): no probe is compiled; the memory of QEMU",
        "PID NAMESPACE": "not seen",
    },
    "container-admin-filtered": {"SECCOMP": "perf_event_open (ENOSYS)", "PID NAMESPACE": "not seen"},
    "container-rootless": {"USER NAMESPACE": "none of the host", "PID NAMESPACE": "not seen"},
    "hidepid": {
        "perf_event_paranoid": "CAP_PERFMON",
        "unprivileged_bpf_disabled": "CAP_BPF",
        "ptrace_scope": "CAP_SYS_PTRACE",
        "/proc": "other users are not seen",
    },
    "few-descriptors": {"file descriptors": "about 16 QEMUs"},
    "yama-3": {"ptrace_scope": "nobody may read"},
    "masked-sys": {"PERF_EVENT_PARANOID": "no perf events", "/SYS/BUS/EVENT_SOURCE": "nothing attaches"},
    "linux-5.10": {"locked memory": "EPERM"},
}


def rows_of(machine: str) -> list[HostCheck]:
    release = RELEASES.get(machine, "6.1.0-44-amd64")
    return host_checks.check(MACHINES / machine, release, lambda: REFUSED.get(machine, {}))


def test_every_machine_is_here() -> None:
    assert {path.name for path in MACHINES.iterdir()} == set(EXPECTED)


@pytest.mark.parametrize("machine", EXPECTED)
def test_what_fails_is_named_with_what_to_do(machine: str) -> None:
    rows = rows_of(machine)
    failing = {row.name.upper() if row.blocks else row.name: row for row in rows if row.fails}
    assert set(failing) == set(EXPECTED[machine])
    for name, words in EXPECTED[machine].items():
        assert words in failing[name].fails
        assert failing[name].remedy
        assert failing[name].found
    assert {"lockdown", "seccomp", "kptr_restrict", "file descriptors"} <= {row.name for row in rows}


@pytest.mark.parametrize("machine", EXPECTED)
def test_observe_refuses_with_the_same_reason_that_doctor_names(machine: str) -> None:
    rows = rows_of(machine)
    blocked = [row for row in rows if row.blocks]
    examination = Examination(kernel.read(), "headers", "", {}, [], rows)
    text = "\n".join(line.plain for line in examination_lines(examination))
    for row in rows:
        assert f"  {row.name}: {row.found}" in text
        assert row.fails in text
        assert row.remedy in text
    for row in blocked:
        assert row.fails in levels.inability(rows=rows)
        assert row.remedy in levels.inability(rows=rows)
    if blocked:
        assert not examination.observable
        assert "qmp works without" in levels.inability(rows=rows)
    assert json.loads(json.dumps(examination.as_dict()))["host"] == [dataclasses.asdict(row) for row in rows]


def test_what_is_hidden_is_not_called_missing() -> None:
    (problem,) = kernel.read(MACHINES / "masked-sys", "6.1.0").problems
    assert "hidden" in problem
    assert kernel.read(MACHINES / "debian-12", "6.1.0").problems == ()


def test_the_calls_that_are_tried_do_nothing_and_are_answered() -> None:
    assert set(refused_calls()) <= {"bpf", "perf_event_open", "unshare", "process_vm_readv"}


FILTERED = """
import ctypes, json, struct, sys
from dataclasses import asdict
from fakedirty.observe.host import host_checks
program = b"".join(struct.pack("HBBI", *each) for each in (
    (0x20, 0, 0, 0),  # the number of the call
    (0x15, 0, 1, int(sys.argv[1])),
    (0x06, 0, 0, 0x00050001),  # EPERM
    (0x06, 0, 0, 0x7FFF0000),  # all others are allowed
))
instructions = ctypes.create_string_buffer(program)
filters = ctypes.create_string_buffer(struct.pack("HxxxxxxP", 4, ctypes.addressof(instructions)))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, filters, 0, 0) == 0
print(json.dumps([asdict(row) for row in host_checks.check()]))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: others are refused by the kernel itself")
@pytest.mark.parametrize(("number", "name"), [(321, "bpf"), (272, "unshare")])
def test_a_filter_of_this_process_is_found(number: int, name: str) -> None:
    done = subprocess.run([sys.executable, "-c", FILTERED, str(number)], check=True, capture_output=True, text=True)
    (row,) = [each for each in json.loads(done.stdout) if each["name"] == "seccomp"]
    assert f"it refuses {name} (EPERM)" in row["fails"]
    assert "perf_event_open" not in row["fails"]
    assert row["blocks"]


def test_probes_read_the_memory_of_processes_alone() -> None:
    """So lockdown's confidentiality is no obstacle by itself."""
    sources = {path: path.read_text() for path in carried("probes").rglob("*.[ch]")}
    assert sources
    called = {name for text in sources.values() for name in re.findall(r"\b(bpf_probe_read\w*)\(", text)}
    assert called <= {"bpf_probe_read_user", "bpf_probe_read_user_str"}
