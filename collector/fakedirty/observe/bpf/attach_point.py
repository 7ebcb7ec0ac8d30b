"""Which instruction of a function a probe is attached to. One that the kernel emulates is twenty times cheaper.

A uprobe replaces an instruction by a trap. The kernel emulates nop, push, relative jump and call. It executes any other
instruction elsewhere, with a second trap after it. So the probe goes to the first emulated instruction on the straight
path from the entry, as long as the arguments are still in their registers there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import capstone
from capstone import x86

from fakedirty.observe.host.elf import Binary, Symbol

# System V calling convention, in order of the arguments
ARGUMENT_REGISTERS = (
    frozenset({x86.X86_REG_RDI, x86.X86_REG_EDI, x86.X86_REG_DI, x86.X86_REG_DIL}),
    frozenset({x86.X86_REG_RSI, x86.X86_REG_ESI, x86.X86_REG_SI, x86.X86_REG_SIL}),
    frozenset({x86.X86_REG_RDX, x86.X86_REG_EDX, x86.X86_REG_DX, x86.X86_REG_DL}),
)
_JUMPS = frozenset({x86.X86_INS_JMP, x86.X86_INS_RET})
_MOST_HOPS = 4
_LONGEST = 15  # bytes of an instruction
_FAR = 512  # bytes that are decoded of a function without a size

# returns the pointer that the process has at a linked address, or None if it cannot be read
ReadPointer = Callable[[int], int | None]


@dataclass(frozen=True, slots=True)
class AttachPoint:
    """An instruction to attach to: `address` as linked, `offset` in the file in bytes."""

    symbol: str
    address: int
    offset: int
    instruction: str
    emulated: bool


@dataclass(frozen=True, slots=True)
class PlacedProbe:
    """A program and the instruction to which it is attached.

    Attributes:
        semaphore: the file offset of the semaphore of a USDT location; 0: it has none.
        text: the C text of the program, empty if a probe file has it.
    """

    program: str
    point: AttachPoint
    semaphore: int = 0
    text: str = ""


def at(binary: Binary, name: str, address: int) -> AttachPoint:
    """The instruction at a linked address; `name` becomes the symbol of the result."""
    return _point(binary, name, next(_engine().disasm(binary.code_at(address, _LONGEST), address)))


def choose(binary: Binary, symbol: Symbol, arguments: tuple[int, ...], read_pointer: ReadPointer) -> AttachPoint:
    """The cheapest instruction at which arguments of a function are still in their registers.

    A function may be nothing but an indirect jump: QEMU chooses an accelerated variant when it starts. Then the memory
    of the process says where the jump goes, and the instruction is chosen there.

    Args:
        binary: the executable.
        symbol: the function.
        arguments: the numbers of the arguments that the program reads; 1 is the first.
        read_pointer: reads a pointer of the process.
    """
    needed = frozenset[int]().union(*(ARGUMENT_REGISTERS[number - 1] for number in arguments))
    engine = _engine()
    entry, first = symbol.address, None
    size = symbol.size or _FAR
    for _hop in range(_MOST_HOPS):
        body = list(engine.disasm(binary.code_at(entry, size), entry))
        targets = {operand for instruction in body if (operand := _target(instruction)) is not None}
        first = first or _point(binary, symbol.name, body[0])
        for instruction in body:
            again = instruction.address in targets and instruction.address != entry
            if again:
                return first
            if is_emulated(instruction):
                return _point(binary, symbol.name, instruction)
            _reads, written = instruction.regs_access()
            if needed & set(written) or instruction.id in _JUMPS or _conditional(instruction):
                break
        landing = _indirect(body, read_pointer)
        if landing is None:
            return first
        entry, size = landing, _FAR
    return first or _point(binary, symbol.name, body[0])


def is_emulated(instruction: capstone.CsInsn) -> bool:
    """Whether the kernel emulates an instruction (arch/x86/kernel/uprobes.c)."""
    raw = bytes(instruction.bytes)
    if raw[0] == 0x66:  # the kernel emulates no instruction with a 16-bit prefix, except a padded nop
        return raw.lstrip(b"\x66") == b"\x90"
    plain = raw[1:] if raw[0] == 0x41 and len(raw) == 2 else raw  # push %r8 to %r15
    return (
        (0x50 <= plain[0] <= 0x57 and len(plain) == 1)
        or raw == b"\x90"
        or raw[0] in (0xEB, 0xE9, 0xE8)
        or 0x70 <= raw[0] <= 0x7F
        or (raw[0] == 0x0F and 0x80 <= raw[1] <= 0x8F)
    )


def _conditional(instruction: capstone.CsInsn) -> bool:
    return bool(instruction.group(capstone.CS_GRP_JUMP) or instruction.group(capstone.CS_GRP_CALL))


def _target(instruction: capstone.CsInsn) -> int | None:
    """Where a direct jump goes."""
    if not instruction.group(capstone.CS_GRP_JUMP) or not instruction.operands:
        return None
    operand = instruction.operands[0]
    return int(operand.imm) if operand.type == x86.X86_OP_IMM else None


def _indirect(body: list[capstone.CsInsn], read_pointer: ReadPointer) -> int | None:
    """Where a function that is ``jmp *x(%rip)``, after ``endbr64`` or at once, goes in the running process."""
    instruction = next((each for each in body if each.id != x86.X86_INS_ENDBR64), body[0])
    if instruction.id != x86.X86_INS_JMP or instruction.operands[0].type != x86.X86_OP_MEM:
        return None
    memory = instruction.operands[0].mem
    if memory.base != x86.X86_REG_RIP:
        return None
    return read_pointer(instruction.address + instruction.size + memory.disp)


def _engine() -> capstone.Cs:
    engine = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
    engine.detail = True
    return engine


def _point(binary: Binary, name: str, instruction: capstone.CsInsn) -> AttachPoint:
    text = f"{instruction.mnemonic} {instruction.op_str}".strip()
    offset = binary.offset(instruction.address)
    return AttachPoint(name, instruction.address, offset, text, is_emulated(instruction))
