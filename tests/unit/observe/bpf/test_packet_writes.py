"""Where channels of multifd write: calls of one function from the code of multifd, also where that has no name."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from compiler import gcc
from fakedirty.linux.process_memory import ProcessMemory
from fakedirty.model.enums import Level
from fakedirty.observe.bpf import stock_probes
from fakedirty.observe.bpf.packet_writes import QUEUES, WRITES, calls
from fakedirty.observe.host.elf import Binary

# in the order of their addresses; those whose names begin with a dot have no symbol
BUILD = (
    ("mpqemu_msg_send", f"call {WRITES}; ret"),
    ("migration_global_dump", "push %rbp; ret"),
    (".multifd_send_thread", f"push %r15; call qemu_sem_wait; call {WRITES}; ret"),
    ("multifd_register_ops", "ret"),
    (QUEUES, "push %r13; ret"),
    (".multifd_recv_thread", "call qemu_sem_wait; ret"),
    ("qemu_sem_wait", "ret"),
    ("qio_channel_writev_all", f"jmp {WRITES}"),
    (WRITES, "push %r15; ret"),
    ("nbd_send", f"call {WRITES}; ret"),
)


def built(directory: Path, functions: tuple[tuple[str, str], ...]) -> Binary:
    lines = [".text"]
    for name, body in functions:
        if name.startswith("."):
            lines += [f"{name.removeprefix('.')}_hidden: {body}"]
        else:
            lines += [f".globl {name}", f".type {name}, @function", f"{name}: {body}", f".size {name}, . - {name}"]
    lines += [".globl main", ".type main, @function", "main: ret", '.section .note.GNU-stack,"",@progbits']
    (directory / "code.s").write_text("\n".join(lines) + "\n")
    gcc("-o", directory / "code", directory / "code.s", x86=True)
    names = [word for name, _ in functions if name.startswith(".") for word in ("-N", f"{name[1:]}_hidden")]
    subprocess.run(["strip", *names, directory / "code"], check=True)
    return Binary(directory / "code")


def without(*names: str) -> tuple[tuple[str, str], ...]:
    return tuple((name, body) for name, body in BUILD if name not in names)


def test_a_call_from_a_function_that_has_no_name(tmp_path: Path) -> None:
    with built(tmp_path, BUILD) as binary:
        [point] = calls(binary)
        before, after = binary.symbol("migration_global_dump"), binary.symbol("multifd_register_ops")
        assert before is not None
        assert after is not None
        assert before.address < point.address < after.address
        assert point.instruction.startswith("call")
        assert point.emulated
        assert point.symbol == WRITES


@pytest.mark.parametrize(
    "lacking", [(".multifd_send_thread",), (QUEUES,), ("multifd_register_ops", QUEUES)], ids=["call", "queue", "names"]
)
def test_none_where_the_executable_does_not_tell(lacking: tuple[str, ...], tmp_path: Path) -> None:
    with built(tmp_path, without(*lacking)) as binary:
        assert calls(binary) == []


class NoMemory(ProcessMemory):
    """Of no process: no pointer is followed in these functions."""

    def __init__(self) -> None:
        self.bias = 0


@pytest.mark.parametrize(
    ("functions", "programs"),
    [
        (BUILD, {WRITES: "multifd_packet", QUEUES: "multifd_queue_page"}),
        (without(".multifd_send_thread"), {QUEUES: "bypass_0"}),
    ],
    ids=["counted", "refused"],
)
def test_a_page_that_is_queued_takes_a_way_past_where_its_packet_is_not_seen(
    functions: tuple[tuple[str, str], ...], programs: dict[str, str], tmp_path: Path
) -> None:
    with built(tmp_path, functions) as binary:
        placed = stock_probes.placed(binary, NoMemory(), Level.STOCK)
    assert {each.point.symbol: each.program for each in placed} == programs
