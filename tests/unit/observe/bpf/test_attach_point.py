"""Where to attach: an emulated instruction at which the arguments are intact, and never inside a loop."""

from __future__ import annotations

import pytest
from compiler import gcc
from fakedirty.observe.bpf.attach_point import AttachPoint, choose
from fakedirty.observe.host.elf import Binary

# functions by name; what QEMU's own look like, and what must not be fallen for
FUNCTIONS = {
    "debian": "mov 0x8444(%rdi),%eax; test %eax,%eax; je 1f; ret; 1: add %rdx,0x20(%rdi); ret",
    "pushes": "push %r13; push %r12; ret",
    "tail": "xor %edi,%edi; jmp other",
    "spoiled": "xor %esi,%esi; je 1f; 1: ret",
    "loop": "mov (%rdi),%eax; 1: jne 1b; ret",
    "plain": "mov %edi,%eax; ret",
    "far": "jmp *pointer(%rip)",
    "marked": "endbr64; jmp *pointer(%rip)",
    "other": "add %rdi,%rax; test %eax,%eax; jne 1f; 1: ret",
}


@pytest.fixture(scope="module")
def binary(tmp_path_factory: pytest.TempPathFactory) -> Binary:
    directory = tmp_path_factory.mktemp("attach")
    lines = [".text"]
    for name, body in FUNCTIONS.items():
        lines += [f".globl {name}", f".type {name}, @function", f"{name}: {body}", f".size {name}, . - {name}"]
    lines += [".globl main", "main: ret", ".data", "pointer: .quad other", '.section .note.GNU-stack,"",@progbits']
    (directory / "code.s").write_text("\n".join(lines) + "\n")
    gcc("-o", directory / "code", directory / "code.s", x86=True)
    return Binary(directory / "code")


def chosen(binary: Binary, name: str, *arguments: int, landing: str | None = None) -> tuple[AttachPoint, int]:
    symbol = binary.symbol(name)
    assert symbol is not None
    target = binary.symbol(landing) if landing else None
    point = choose(binary, symbol, arguments, lambda _address: target.address if target else None)
    return point, point.address - symbol.address


def test_the_first_emulated_instruction(binary: Binary) -> None:
    point, offset = chosen(binary, "debian", 2, 3)
    assert (offset, point.emulated, point.instruction.split()[0]) == (8, True, "je")
    assert chosen(binary, "pushes", 1)[1] == 0
    assert chosen(binary, "tail")[0].instruction.startswith("jmp")


def test_an_argument_that_is_overwritten_is_no_argument(binary: Binary) -> None:
    point, offset = chosen(binary, "spoiled", 2)
    assert (offset, point.emulated) == (0, False)
    assert chosen(binary, "spoiled", 1)[1] == 2
    assert chosen(binary, "tail", 1) == chosen(binary, "tail", 1)
    assert chosen(binary, "tail", 1)[1] == 0


def test_an_instruction_that_a_loop_comes_back_to_is_not_taken(binary: Binary) -> None:
    assert chosen(binary, "loop", 1)[1] == 0


def test_without_one_the_entry(binary: Binary) -> None:
    point, offset = chosen(binary, "plain", 1)
    assert (offset, point.emulated) == (0, False)


@pytest.mark.parametrize("name", ["far", "marked"])
def test_an_indirect_jump_is_followed_in_the_running_process(binary: Binary, name: str) -> None:
    other = binary.symbol("other")
    assert other is not None
    point, _offset = chosen(binary, name, 1, 2, landing="other")
    assert point.symbol == name
    assert point.address > other.address
    assert point.emulated
    assert chosen(binary, name, 1, 2)[1] == 0


def test_symbols_that_are_absent_or_undefined(binary: Binary) -> None:
    assert binary.symbol("absent") is None
    assert binary.symbol("__libc_start_main") is None
