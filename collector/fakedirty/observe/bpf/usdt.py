"""C programs for USDT locations: ``8@%rdi 4@-20(%rbp)``, the description of arguments, becomes a call of a handler.

bcc can do this, too. But bcc enables a probe by writing its semaphore into the memory of the process, where it would
stay raised if the collector were killed. Here the kernel raises the semaphore (ref_ctr_offset).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from fakedirty.errors import TargetError
from fakedirty.observe.host.elf import Binary, UsdtLocation

from .attach_point import PlacedProbe, at

_ARGUMENT = re.compile(
    r"(?P<size>-?\d)@(?:\$(?P<constant>-?\w+)"
    r"|%(?P<register>\w+)"
    r"|(?P<offset>-?\w*)\(%(?P<base>\w+)(?:,%(?P<index>\w+)(?:,(?P<scale>\d))?)?\))$"
)

# the field of struct pt_regs for each name of a register in an instruction
_LETTERED = {name: name for name in ("ax", "bx", "cx", "dx", "si", "di", "bp", "sp")}
_REGISTERS = {
    **{f"{prefix}{name}": field for name, field in _LETTERED.items() for prefix in ("r", "e", "")},
    **{f"{letter}l": f"{letter}x" for letter in "abcd"},
    **{f"{name}l": name for name in ("si", "di", "bp", "sp")},
    **{f"r{number}{suffix}": f"r{number}" for number in range(8, 16) for suffix in ("", "d", "w", "b")},
}
_TYPES = {1: "u8", 2: "u16", 4: "u32", 8: "u64", -1: "s8", -2: "s16", -4: "s32", -8: "s64"}


def placed(binary: Binary, names: Iterable[str]) -> list[PlacedProbe]:
    """A program for each location of the named trace events. While it is attached, the kernel raises the semaphore."""
    return [
        PlacedProbe(
            function := f"usdt_{name}_{number}",
            at(binary, name, location.address),
            binary.offset(location.semaphore) if location.semaphore else 0,
            program(location, function),
        )
        for name in names
        for number, location in enumerate(binary.usdt[name])
    ]


def program(location: UsdtLocation, function: str) -> str:
    """The C text of a BPF program named `function`.

    It fetches the arguments of a location and calls the handler with the name of the trace event.

    Raises:
        TargetError: the description of an argument has an unknown form.
    """
    arguments = [argument for argument in location.arguments.split(" ") if argument]
    names = [f"arg{number}" for number in range(1, len(arguments) + 1)]
    fetches = [f"    {_fetch(location, text, name)}" for text, name in zip(arguments, names, strict=True)]
    call = ", ".join(["ctx", *names])
    body = "\n".join([*fetches, f"    return {location.name}({call});"])
    return f"int {function}(struct pt_regs *ctx)\n{{\n{body}\n}}\n"


def _fetch(location: UsdtLocation, text: str, name: str) -> str:
    match = _ARGUMENT.match(text)
    if match is None:
        raise TargetError(f"argument {text!r} of USDT probe {location.name} has an unknown form")
    kind = _TYPES[int(match["size"])]
    if match["constant"]:
        return f"u64 {name} = ({kind}){match['constant']};"
    if match["register"]:
        return f"u64 {name} = ({kind})ctx->{_REGISTERS[match['register']]};"
    address = f"ctx->{_REGISTERS[match['base']]} + {match['offset'] or 0}"
    if match["index"]:
        address += f" + ctx->{_REGISTERS[match['index']]} * {match['scale'] or 1}"
    return (
        f"{kind} {name}_raw = 0; bpf_probe_read_user(&{name}_raw, sizeof({name}_raw), (void *)({address})); "
        f"u64 {name} = {name}_raw;"
    )
