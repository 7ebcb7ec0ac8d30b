"""USDT argument descriptions, and the notes of an executable."""

from __future__ import annotations

from pathlib import Path

import pytest
from compiler import gcc
from fakedirty.errors import TargetError
from fakedirty.observe.bpf import patched_probes, usdt
from fakedirty.observe.host import levels
from fakedirty.observe.host.elf import Binary, UsdtLocation

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
    gcc("-g0", "-O1", "-o", tmp_path / "probed", tmp_path / "probed.c", header="sys/sdt.h", x86=True)
    binary = Binary(tmp_path / "probed")
    assert list(binary.usdt) == ["thing"]
    [location] = binary.usdt["thing"]
    assert len(location.arguments.split()) == 2
    assert binary.code_at(location.address, 1) == b"\x90"
    assert program(location.arguments)
    assert binary.build_id
    binary.close()


def traced(directory: Path, *probes: str) -> Binary:
    """An executable with these trace events, of one argument each."""
    calls = " ".join(f"DTRACE_PROBE1(qemu, {name}, argc);" for name in probes)
    source = directory / "traced.c"
    source.write_text(f"#include <sys/sdt.h>\nint main(int argc, char **argv) {{ {calls} return 0; }}\n")
    gcc("-O1", "-o", directory / "traced", source, header="sys/sdt.h", x86=True)
    return Binary(directory / "traced")


SERIES = ("fake_dirty_batch", "fake_dirty_mode", "migrate_set_state")


@pytest.mark.parametrize(
    ("probes", "used"),
    [
        (("migration_round",), "migration_round"),
        (("fake_dirty_round",), "fake_dirty_round"),
        (("fake_dirty_round", "migration_round"), "migration_round"),
    ],
)
def test_one_event_ends_a_round_whatever_it_is_called(probes: tuple[str, ...], used: str, tmp_path: Path) -> None:
    with traced(tmp_path, *SERIES, *probes) as binary:
        assert levels.why_not(binary, levels.NEEDS[0]) == ""
        handlers = [f"return {name}(" for name in (*SERIES, used)]
        programs = [placed.text for placed in patched_probes.placed(binary)]
        assert len(programs) == len(handlers)
        assert all(handler in text for handler, text in zip(handlers, programs, strict=True))


@pytest.mark.parametrize(
    ("probes", "lacking"),
    [
        (SERIES, "migration_round or fake_dirty_round"),
        (("migration_round", "migrate_set_state"), "fake_dirty_batch, fake_dirty_mode"),
    ],
    ids=["no event ends a round", "a history of rounds alone"],
)
def test_what_the_level_lacks_is_named(probes: tuple[str, ...], lacking: str, tmp_path: Path) -> None:
    with traced(tmp_path, *probes) as binary:
        assert f"({lacking} not found)" in levels.why_not(binary, levels.NEEDS[0])
