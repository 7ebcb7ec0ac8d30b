"""USDT argument descriptions, and the notes of an executable."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from fakedirty.errors import TargetError
from fakedirty.observe import usdt
from fakedirty.observe.elf import Binary, UsdtLocation

PROBED = """
#include <sys/sdt.h>
unsigned short qemu_thing_semaphore __attribute__((section(".probes"))) = 0;
#define SDT_USE_VARIADIC
int main(int argc, char **argv) { DTRACE_PROBE2(qemu, thing, argc, argv); DTRACE_PROBE(other, thing); return 0; }
"""


def program(arguments: str) -> str:
    return usdt.program(UsdtLocation("thing", 0, 0, arguments), "run")


@pytest.mark.parametrize(
    ("argument", "fetched"),
    [
        ("8@%rdi", "(u64)ctx->di"),
        ("4@%esi", "(u32)ctx->si"),
        ("-4@%r9d", "(s32)ctx->r9"),
        ("1@%al", "(u8)ctx->ax"),
        ("4@$168", "(u32)168"),
        ("-4@$-1", "(s32)-1"),
        ("8@-20(%rbp)", "(void *)(ctx->bp + -20)"),
        ("8@(%rax)", "(void *)(ctx->ax + 0)"),
        ("8@8(%rax,%rcx,4)", "(void *)(ctx->ax + 8 + ctx->cx * 4)"),
    ],
)
def test_every_form_of_an_argument(argument: str, fetched: str) -> None:
    text = program(argument)
    assert fetched in text
    assert "return thing(ctx, arg1);" in text


def test_arguments_keep_their_order() -> None:
    text = program("8@%rdi 4@$7")
    assert text.index("arg1 = ") < text.index("arg2 = ")
    assert "thing(ctx, arg1, arg2)" in text


def test_an_unknown_form_is_named() -> None:
    with pytest.raises(TargetError, match="global"):
        program("8@global(%rip)x")


def test_notes_of_an_executable(tmp_path: Path) -> None:
    (tmp_path / "probed.c").write_text(PROBED)
    subprocess.run(["gcc", "-g0", "-O1", "-o", tmp_path / "probed", tmp_path / "probed.c"], check=True)
    binary = Binary(tmp_path / "probed")
    assert list(binary.usdt) == ["thing"]
    [location] = binary.usdt["thing"]
    assert len(location.arguments.split()) == 2
    assert binary.code_at(location.address, 1) == b"\x90"
    assert program(location.arguments)
    assert binary.build_id
    binary.close()
